import { ReplyError } from 'ioredis';

/** How much one round trip may carry: halved when no answer comes, doubled when one comes. */
export interface RoundLimit {
  readonly value: number;
  succeeded(): void;
  /** An answer that is an error says nothing about the size; silence does. */
  failed(error: unknown): void;
}

export function createRoundLimit(max: number): RoundLimit {
  let value = max;
  return {
    get value() {
      return value;
    },
    succeeded() {
      value = Math.min(max, value * 2);
    },
    failed(error) {
      if (!(error instanceof ReplyError)) value = Math.max(1, value >> 1);
    },
  };
}
