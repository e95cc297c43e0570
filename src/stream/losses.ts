import type { Redis } from 'ioredis';
import { type LossCause, lossCauses } from '../core/types.ts';
import { callRedis } from './redis.ts';

/** What was lost since the record was started; it ends a day after the last loss. */
export interface Losses {
  readonly entries: Readonly<Record<LossCause, number>>;
  /** Epoch milliseconds of the last one. */
  readonly lastMs: number;
}

/** Instances come and go with their counters; for so long Redis keeps what they counted. */
export const lossesKeptMs = 86_400_000;

/** Counts and time together, so that a retry after an error never counts twice. */
const recordScript = `
for i = 1, #ARGV - 2, 2 do redis.call('HINCRBY', KEYS[1], ARGV[i], ARGV[i + 1]) end
redis.call('HSET', KEYS[1], 'last_at_ms', ARGV[#ARGV - 1])
redis.call('PEXPIRE', KEYS[1], ARGV[#ARGV])
return 1`;

export interface LossRecord {
  /** Notes a loss; `flush` writes it. */
  add(cause: LossCause, entries: number): void;
  /** Writes what was noted; after an error the next call tries again. @throws DependencyError */
  flush(): Promise<void>;
}

/** Keeps what instances counted as lost in Redis, where `status` finds it. */
export function createLossRecord(
  connected: () => Promise<Redis>,
  key: string,
  now: () => number,
): LossRecord {
  const noted: Record<LossCause, number> = { trimmed_undelivered: 0, trimmed_pending: 0 };
  return {
    add(cause, entries) {
      noted[cause] += entries;
    },
    async flush() {
      const found = lossCauses.filter((cause) => noted[cause] > 0);
      if (found.length === 0) return;
      const counts = found.map((cause) => [cause, noted[cause]] as const);
      await callRedis(async () => {
        const redis = await connected();
        await redis.eval(recordScript, 1, key, ...counts.flat(), now(), lossesKeptMs);
      });
      // What came while the script ran stays noted.
      for (const [cause, entries] of counts) noted[cause] -= entries;
    },
  };
}

/** The record, or null when nothing was lost in the last day. @throws DependencyError */
export async function readLosses(redis: Redis, key: string): Promise<Losses | null> {
  return await callRedis(async () => {
    const found = await redis.hgetall(key);
    const lastMs = Number(found.last_at_ms);
    if (!Number.isSafeInteger(lastMs)) return null;
    const entries = {
      trimmed_undelivered: Number(found.trimmed_undelivered ?? 0),
      trimmed_pending: Number(found.trimmed_pending ?? 0),
    };
    return { entries, lastMs };
  });
}
