import type { Redis } from 'ioredis';
import { type LossCause, lossCauses } from '../core/types.ts';
import { callRedis } from './redis.ts';

/** Losses since the record began; it expires a day after the last loss. */
export interface Losses {
  readonly entries: Readonly<Record<LossCause, number>>;
  /** Time of the last loss, epoch milliseconds. */
  readonly lastMs: number;
}

/** How long Redis keeps the losses, which outlive the counters of the instances. */
export const lossesKeptMs = 86_400_000;

/** Writes counts and time in one step, so that a retry after an error never counts twice. */
const recordScript = `
for i = 1, #ARGV - 2, 2 do redis.call('HINCRBY', KEYS[1], ARGV[i], ARGV[i + 1]) end
redis.call('HSET', KEYS[1], 'last_at_ms', ARGV[#ARGV - 1])
redis.call('PEXPIRE', KEYS[1], ARGV[#ARGV])
return 1`;

export interface LossRecord {
  /** Counts a loss in memory; `flush` writes it. */
  add(cause: LossCause, entries: number): void;
  /** Writes the counted losses; after an error the next call retries. @throws DependencyError */
  flush(): Promise<void>;
}

/** Records losses in Redis, where `status` reads them. */
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
      // Losses counted while the script ran stay for the next flush.
      for (const [cause, entries] of counts) noted[cause] -= entries;
    },
  };
}

/** Reads the record; null if nothing was lost in the last day. @throws DependencyError */
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
