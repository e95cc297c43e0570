import type { Redis } from 'ioredis';
import { controlKeys } from '../../src/stream/control-keys.ts';
import { shardKey } from '../../src/stream/shards.ts';
import { entryFields, stream } from './stack.ts';

/** How much one shard holds; its ids are those of the other shards too. */
export interface ShardFill {
  readonly entries: number;
  /** Of the entries, the first ones: delivered to the consumer `gone`. */
  readonly delivered: number;
  /** Of those, the first ones: acknowledged, although no row is stored. */
  readonly acknowledged: number;
  readonly deadLetters: number;
}

export const startMs = 1_767_225_600_000;
export const idAt = (second: number) => `${startMs + second * 1000}-0`;
export const keyOf = (shard: number) => shardKey(stream, shard);
export const deadLettersOf = (shard: number) => `${keyOf(shard)}:dlq`;

export async function auditOf(redis: Redis, shard: number): Promise<(string | undefined)[]> {
  const lines = await redis.xrange(controlKeys(keyOf(shard)).audit, '-', '+');
  return lines.map(([, fields]) => fields[3]);
}

/** Fills one shard; the devices are of this shard alone. A replay stores what a dead letter holds. */
export async function fillShard(redis: Redis, shard: number, fill: ShardFill): Promise<void> {
  const key = keyOf(shard);
  const device = (index: number) => shard * 1000 + index;
  await redis.xgroup('CREATE', key, 'processor', '0', 'MKSTREAM');
  for (let index = 0; index < fill.entries; index += 1) {
    await redis.xadd(key, idAt(index), ...entryFields(device(index)));
  }
  if (fill.delivered > 0) {
    const count = fill.delivered;
    await redis.xreadgroup('GROUP', 'processor', 'gone', 'COUNT', count, 'STREAMS', key, '>');
  }
  for (let index = 0; index < Math.min(fill.acknowledged, fill.delivered); index += 1) {
    await redis.xack(key, 'processor', idAt(index));
  }
  for (let index = 0; index < fill.deadLetters; index += 1) {
    const fields = entryFields(device(index));
    const reason = index % 2 === 0 ? 'latitude_out_of_range' : 'row_refused';
    await redis.xadd(deadLettersOf(shard), idAt(index), ...deadLetter(idAt(index), reason, fields));
  }
}

/** A dead letter of shape 1, which any version reads. */
export function deadLetter(entryId: string, reason: string, fields: readonly string[]): string[] {
  return [
    ...['entry_id', entryId, 'stage', 'validate', 'reason', reason, 'message', 'of a test'],
    ...['record_index', '', 'instance', 'one', 'deliveries', '1', 'at', '2026-01-01T00:00:00Z'],
    ...fields.map((part, at) => (at % 2 === 0 ? `f:${part}` : part)),
  ];
}
