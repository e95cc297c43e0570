/** A pause that can be ended early. */
export interface Nap {
  /** Resolves after `ms`, at the next `wake`, or at once if `wake` was called since the last pause. */
  sleep(ms: number): Promise<void>;
  wake(): void;
}

export function createNap(): Nap {
  let isAwake = false;
  let end: (() => void) | null = null;
  return {
    async sleep(ms) {
      if (!isAwake) {
        await new Promise<void>((resolve) => {
          const timer = setTimeout(resolve, ms);
          end = () => {
            clearTimeout(timer);
            resolve();
          };
        });
      }
      end = null;
      isAwake = false;
    },
    wake() {
      isAwake = true;
      end?.();
    },
  };
}
