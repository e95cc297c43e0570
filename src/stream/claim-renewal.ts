import type { Redis } from 'ioredis';
import type { EntryId } from '../core/types.ts';
import { callRedis } from './redis.ts';

export interface ClaimRenewalOptions {
  readonly key: string;
  readonly group: string;
  readonly consumer: string;
}

/**
 * JUSTID resets the idle time and does not change the delivery count. The script renews only entries
 * that are still pending for this consumer, so it takes nothing back from another instance. It skips
 * trimmed entries: XCLAIM would delete them from the pending list, and a loss would not be counted.
 */
const renewalScript = `
local renewed = 0
for i = 3, #ARGV do
  local own = redis.call('XPENDING', KEYS[1], ARGV[1], ARGV[i], ARGV[i], 1, ARGV[2])
  if #own > 0 and #redis.call('XRANGE', KEYS[1], ARGV[i], ARGV[i]) > 0 then
    redis.call('XCLAIM', KEYS[1], ARGV[1], ARGV[2], 0, ARGV[i], 'JUSTID')
    renewed = renewed + 1
  end
end
return renewed`;

/** Ids in one call of the script: about a millisecond of the server's time. */
const renewalChunk = 500;

/**
 * Renews the claim on long-held entries (for example during a database outage), so that no other
 * instance reclaims them as orphaned.
 * @returns `renew`, which resolves with the number of entries renewed
 */
export function createClaimRenewal(
  connected: () => Promise<Redis>,
  { key, group, consumer }: ClaimRenewalOptions,
): (ids: readonly EntryId[]) => Promise<number> {
  return async (ids) => {
    return await callRedis(async () => {
      const redis = await connected();
      let renewed = 0;
      for (let from = 0; from < ids.length; from += renewalChunk) {
        const chunk = ids.slice(from, from + renewalChunk);
        renewed += Number(await redis.eval(renewalScript, 1, key, group, consumer, ...chunk));
      }
      return renewed;
    });
  };
}
