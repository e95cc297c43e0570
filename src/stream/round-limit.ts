import { ReplyError } from 'ioredis';

/** Size limit of one round trip: halved if no reply arrives, doubled if one does. */
export interface RoundLimit {
  readonly value: number;
  succeeded(): void;
  /** Halves the limit unless Redis replied: an error reply does not depend on the size. */
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
