export interface Health {
  /** Sets the state of one part; `ok` means healthy. */
  set(part: string, state: string): void;
  live(): Report;
  ready(): Report;
  startup(): Report;
}

interface Report {
  readonly ok: boolean;
  readonly checks: Readonly<Record<string, string>>;
}

/** The answers of the probes: `startup` needs its part to be `ok`, `ready` needs every part. */
export function createHealth(parts: readonly string[]): Health {
  const states = new Map(parts.map((part) => [part, 'starting']));
  return {
    set(part, state) {
      states.set(part, state);
    },
    live: () => ({ ok: true, checks: { process: 'ok' } }),
    ready: () => {
      const checks = Object.fromEntries(states);
      return { ok: Object.values(checks).every((state) => state === 'ok'), checks };
    },
    startup: () => {
      const state = states.get('startup') ?? 'starting';
      return { ok: state === 'ok', checks: { startup: state } };
    },
  };
}
