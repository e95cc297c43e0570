import type { Redis } from 'ioredis';
import type { EntryId } from '../core/types.ts';
import { rangeAfter } from './entry-id.ts';
import { infoOf } from './info.ts';
import { callRedis } from './redis.ts';
import { unexpectedReply } from './replies.ts';

/** Names of a stream and its consumer group. */
export interface GroupPlace {
  readonly key: string;
  readonly group: string;
}

/** One consumer of the group, as Redis knows it. */
export interface ConsumerView {
  readonly name: string;
  readonly pending: number;
  /** Time since its last command. */
  readonly idleMs: number;
  /** Time since it last received an entry; null before Redis 7.2, and if it never did. */
  readonly inactiveMs: number | null;
}

/** A delivered entry that is not acknowledged. */
export interface PendingView {
  readonly id: EntryId;
  readonly consumer: string;
  readonly idleMs: number;
  readonly deliveries: number;
}

/** Idle time after which an instance counts as dead: a live one reads at least once per `blockMs`. */
export function aliveMs({ blockMs }: { readonly blockMs: number }): number {
  return blockMs * 3;
}

/** @throws DependencyError */
export function viewConsumers(redis: Redis, { key, group }: GroupPlace): Promise<ConsumerView[]> {
  return callRedis(async () => consumersOf(await redis.xinfo('CONSUMERS', key, group)));
}

/** The consumers in a reply of XINFO CONSUMERS. @throws DependencyError */
export function consumersOf(reply: unknown): ConsumerView[] {
  if (!Array.isArray(reply)) throw unexpectedReply('XINFO');
  return reply.map((consumer) => {
    const info = infoOf(consumer);
    const inactive = Number(info.get('inactive') ?? -1);
    return {
      name: String(info.get('name')),
      pending: Number(info.get('pending')),
      idleMs: Number(info.get('idle')),
      inactiveMs: inactive < 0 ? null : inactive,
    };
  });
}

/** Reads pending entries, oldest first, one page at a time. @throws DependencyError */
export async function* viewPending(
  redis: Redis,
  { key, group }: GroupPlace,
  { consumer, minIdleMs }: { readonly consumer?: string; readonly minIdleMs: number },
): AsyncGenerator<PendingView> {
  let from = '-';
  for (;;) {
    const words = ['IDLE', String(minIdleMs), from, '+', String(pageEntries)];
    const page = await callRedis(async () => {
      const reply: unknown = await redis.call(
        'XPENDING',
        key,
        group,
        ...words,
        ...(consumer === undefined ? [] : [consumer]),
      );
      if (!Array.isArray(reply)) throw unexpectedReply('XPENDING');
      return reply.map(toPending);
    });
    yield* page;
    const last = page.at(-1);
    const next = last === undefined ? null : rangeAfter(last.id);
    if (next === null || page.length < pageEntries) return;
    from = next;
  }
}

const pageEntries = 1000;

function toPending(item: unknown): PendingView {
  const [id, consumer, idle, deliveries]: unknown[] = Array.isArray(item) ? item : [];
  if (typeof id !== 'string') throw unexpectedReply('XPENDING');
  return {
    id: id as EntryId,
    consumer: String(consumer),
    idleMs: Number(idle),
    deliveries: Number(deliveries),
  };
}

/** Reads the `device_id` of entries; null if the entry is gone or has no valid one. */
export function viewDevices(
  redis: Redis,
  key: string,
  ids: readonly EntryId[],
): Promise<(string | null)[]> {
  return callRedis(async () => {
    const replies = await redis.pipeline(ids.map((id) => ['xrange', key, id, id])).exec();
    return ids.map((_, index) => {
      const [error, found]: unknown[] = replies?.[index] ?? [];
      if (error instanceof Error) throw error;
      const entry: unknown = Array.isArray(found) ? found[0] : undefined;
      const fields: unknown = Array.isArray(entry) ? entry[1] : undefined;
      const device = Array.isArray(fields) ? fields[fields.indexOf('device_id') + 1] : undefined;
      return typeof device === 'string' && /^\d{15}$/.test(device) ? device : null;
    });
  });
}

/**
 * Raises the idle time of pending entries, so that the next claim of any instance takes them. They
 * stay with their consumer, and their delivery count does not change. A trimmed entry is skipped:
 * XCLAIM would drop it from the pending list, and its loss would not be counted.
 * KEYS stream; ARGV group, consumer, min idle ms, idle ms to set, max entries.
 */
const ageScript = `
local stuck = redis.call('XPENDING', KEYS[1], ARGV[1], 'IDLE', ARGV[3], '-', '+', ARGV[5], ARGV[2])
local aged = {}
for _, pending in ipairs(stuck) do
  if #redis.call('XRANGE', KEYS[1], pending[1], pending[1]) > 0 then
    redis.call('XCLAIM', KEYS[1], ARGV[1], ARGV[2], ARGV[3], pending[1],
      'IDLE', math.max(pending[3], tonumber(ARGV[4])), 'RETRYCOUNT', pending[4], 'JUSTID')
    aged[#aged + 1] = pending[1]
  end
end
return aged`;

/** @returns the ids of the entries that any instance may claim now @throws DependencyError */
export function agePending(
  redis: Redis,
  { key, group }: GroupPlace,
  options: {
    readonly consumer: string;
    readonly minIdleMs: number;
    readonly idleMs: number;
    readonly max: number;
  },
): Promise<EntryId[]> {
  const { consumer, minIdleMs, idleMs, max } = options;
  return callRedis(async () => {
    const reply = await redis.eval(ageScript, 1, key, group, consumer, minIdleMs, idleMs, max);
    if (!Array.isArray(reply)) throw unexpectedReply('EVAL');
    return reply.map((id) => String(id) as EntryId);
  });
}

/** Checks and removes in one step, because XGROUP DELCONSUMER also drops the pending entries. */
const removeScript = `
for _, info in ipairs(redis.call('XINFO', 'CONSUMERS', KEYS[1], ARGV[1])) do
  local consumer = {}
  for i = 1, #info, 2 do consumer[info[i]] = info[i + 1] end
  if consumer.name == ARGV[2] then
    if consumer.pending > 0 then return 'pending' end
    if consumer.idle < tonumber(ARGV[3]) then return 'alive' end
    redis.call('XGROUP', 'DELCONSUMER', KEYS[1], ARGV[1], ARGV[2])
    return 'removed'
  end
end
return 'absent'`;

const removals = ['removed', 'pending', 'alive', 'absent'] as const;
export type Removal = (typeof removals)[number];

/** Removes a consumer without pending entries that was idle for `minIdleMs`. @throws DependencyError */
export function removeConsumer(
  redis: Redis,
  { key, group }: GroupPlace,
  consumer: string,
  minIdleMs: number,
): Promise<Removal> {
  return callRedis(async () => {
    const reply = String(await redis.eval(removeScript, 1, key, group, consumer, minIdleMs));
    const removal = removals.find((one) => one === reply);
    if (removal === undefined) throw unexpectedReply('EVAL');
    return removal;
  });
}
