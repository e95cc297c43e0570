import type { Redis } from 'ioredis';
import type { Entry, EntryId, EntrySource } from '../core/types.ts';
import { DependencyError } from '../core/types.ts';
import {
  countDeliveries,
  createGroup,
  type Inspection,
  inspectCommand,
  parseInspection,
  removeIdleConsumers,
} from './group.ts';
import { asRedisError, isGroupGone } from './redis.ts';
import { parseClaim, parseRead, type RawEntry, unexpectedReply } from './replies.ts';

export interface ConsumerOptions {
  readonly key: string;
  readonly group: string;
  readonly consumer: string;
  readonly blockMs: number;
  /** Beyond `blockMs`, before a silent connection counts as dead. */
  readonly slackMs: number;
  /** Entries of others that were idle this long are taken over: their instance is dead. */
  readonly claimThresholdMs: number;
  readonly claimIntervalMs: number;
  /** Consumers that hold nothing and were idle this long are removed. */
  readonly consumerIdleMs: number;
  readonly now: () => number;
}

/** What the consumer finds beside entries. */
export interface ConsumerEvents {
  /** The group was gone and was made anew, at the start of the stream. */
  groupRecreated(): void;
  /** Ids still pending whose entries are no longer in the stream; acknowledged by now. */
  lostPending(ids: readonly EntryId[]): void;
  /** Entries that were trimmed before anybody got them. */
  lostUndelivered(entries: number): void;
  /** The stream's newest id lay before the last delivered one: it is read from the start again. */
  streamWentBack(entries: number): void;
  claimed(entries: number): void;
  /** A scan for entries of dead instances came to its end. */
  claimRun(): void;
  consumersRemoved(names: readonly string[]): void;
  connected(isConnected: boolean): void;
}

export interface Consumer {
  /** Creates stream and group where they are missing. @throws DependencyError */
  prepare(): Promise<void>;
  /**
   * Own pending entries first, after every new connection: a reply that was lost with the old
   * one left its entries there. Then, when it is time, those of a dead instance. Then new ones.
   * Blocks for at most `blockMs` and the slack.
   * @throws DependencyError
   */
  read(limit: number): Promise<readonly Entry[]>;
  close(): void;
}

/** @param open makes a connection of its own: a blocking read holds up all behind it */
export function createConsumer(
  open: () => Redis,
  options: ConsumerOptions,
  events: ConsumerEvents,
): Consumer {
  const { key, group, consumer, blockMs, now } = options;
  let client: Redis | null = null;
  /** Where reading own pending entries goes on; null once they are all read. */
  let pendingCursor: string | null = '0';
  /** Where a claim run goes on; it scans in steps, and an empty step is not its end. */
  let claimCursor = '0-0';
  let claimDueMs = 0;

  async function connected(): Promise<Redis> {
    if (client !== null && client.status === 'ready') return client;
    client?.disconnect();
    const opened = open();
    client = opened;
    pendingCursor = '0';
    await opened.connect();
    events.connected(true);
    return opened;
  }

  /** A connection that failed is thrown away: what it would still answer is not trusted. */
  function discard(): void {
    client?.disconnect();
    client = null;
    events.connected(false);
  }

  async function guarded<Result>(work: (redis: Redis) => Promise<Result>): Promise<Result> {
    try {
      return await work(await connected());
    } catch (error) {
      discard();
      throw asRedisError(error);
    }
  }

  /** Nothing is left to process, and unacknowledged the ids would stay for ever. */
  async function settleLost(redis: Redis, found: readonly RawEntry[]): Promise<void> {
    const lost = found.filter((entry) => entry.fields === null).map((entry) => entry.id);
    if (lost.length === 0) return;
    await redis.xack(key, group, ...lost);
    events.lostPending(lost);
  }

  /** Entries that were delivered before, with the count that Redis keeps of it. */
  async function redelivered(
    redis: Redis,
    found: readonly RawEntry[],
    source: EntrySource,
  ): Promise<Entry[]> {
    const there = found.filter((entry) => entry.fields !== null);
    const ids = there.map((entry) => entry.id);
    const deliveries = await countDeliveries(redis, key, group, ids);
    return there.flatMap((entry, at) => toEntry(entry, source, deliveries[at] ?? 1));
  }

  async function readPending(redis: Redis, cursor: string, limit: number): Promise<Entry[]> {
    const words = ['GROUP', group, consumer, 'COUNT', String(limit), 'STREAMS', key, cursor];
    const found = parseRead(await answered(redis.callBuffer('XREADGROUP', ...words)));
    pendingCursor = found.at(-1)?.id ?? null;
    await settleLost(redis, found);
    return await redelivered(redis, found, 'own_pending');
  }

  /**
   * Takes over entries whose instance is gone, one step of the scan at a time. In the reading
   * loop, so that claimed entries stay within the same in-flight budget as new ones.
   */
  async function claim(redis: Redis, limit: number): Promise<Entry[]> {
    const { claimThresholdMs } = options;
    const words = [key, group, consumer, String(claimThresholdMs), claimCursor];
    const reply = redis.callBuffer('XAUTOCLAIM', ...words, 'COUNT', String(limit));
    const { cursor, entries, deleted } = parseClaim(await answered(reply));
    claimCursor = cursor;
    // XAUTOCLAIM itself has taken these out of the pending list.
    if (deleted.length > 0) events.lostPending(deleted);
    if (entries.length > 0) events.claimed(entries.length);
    if (cursor === '0-0') await endClaimRun(redis);
    return await redelivered(redis, entries, 'claimed');
  }

  async function endClaimRun(redis: Redis): Promise<void> {
    const { claimIntervalMs, consumerIdleMs: idleMs } = options;
    // Jitter, so that several instances do not scan in step.
    claimDueMs = now() + claimIntervalMs * (0.75 + Math.random() / 2);
    events.claimRun();
    const removed = await removeIdleConsumers(redis, { key, group, self: consumer, idleMs });
    if (removed.length > 0) events.consumersRemoved(removed);
  }

  /** New entries, after a look at what was lost before they came; both in one round trip. */
  async function readNew(redis: Redis, limit: number): Promise<Entry[]> {
    const words = ['GROUP', group, consumer, 'COUNT', String(limit)];
    const replies = redis
      .pipeline()
      .call(...inspectCommand(key, group))
      .callBuffer('XREADGROUP', ...words, 'BLOCK', String(blockMs), 'STREAMS', key, '>')
      .exec();
    const [looked, read] = (await answered(replies)) ?? [];
    if (looked === undefined || read === undefined) throw unexpectedReply('EVAL');
    if (looked[0] !== null) throw looked[0];
    report(parseInspection(looked[1]));
    if (read[0] !== null) throw read[0];
    return parseRead(read[1]).flatMap((entry) => toEntry(entry, 'new', 1));
  }

  function report(found: Inspection): void {
    if (found.kind === 'trimmed') events.lostUndelivered(found.entries);
    if (found.kind === 'went_back') events.streamWentBack(found.entries);
  }

  /** Ends the wait for a half-open connection, which answers nothing and never fails. */
  function answered<Reply>(reply: Promise<Reply>): Promise<Reply> {
    return withDeadline(reply, blockMs + options.slackMs);
  }

  async function readNext(redis: Redis, limit: number): Promise<readonly Entry[]> {
    if (pendingCursor !== null) {
      const pending = await readPending(redis, pendingCursor, limit);
      if (pendingCursor !== null) return pending;
    }
    if (now() >= claimDueMs) {
      const claimed = await claim(redis, limit);
      if (claimed.length > 0) return claimed;
    }
    return await readNew(redis, limit);
  }

  async function recreateGroup(): Promise<void> {
    const isNew = await guarded((redis) => createGroup(redis, key, group));
    if (isNew) events.groupRecreated();
    pendingCursor = '0';
  }

  return {
    async prepare() {
      await guarded((redis) => createGroup(redis, key, group));
    },
    async read(limit) {
      try {
        return await readNext(await connected(), limit);
      } catch (error) {
        if (!isGroupGone(error) || client === null) {
          discard();
          throw asRedisError(error);
        }
      }
      await recreateGroup();
      return [];
    },
    close: discard,
  };
}

async function withDeadline<Value>(reply: Promise<Value>, deadlineMs: number): Promise<Value> {
  let timer: NodeJS.Timeout | undefined;
  const silence = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => {
      reject(
        new DependencyError('redis', 'unavailable', 'SILENT', `redis silent for ${deadlineMs} ms`),
      );
    }, deadlineMs);
  });
  try {
    return await Promise.race([reply, silence]);
  } finally {
    clearTimeout(timer);
    // The late reply of a discarded connection is of no interest to anybody.
    reply.catch(() => undefined);
  }
}

function toEntry({ id, fields }: RawEntry, source: EntrySource, deliveries: number): Entry[] {
  if (fields === null) return [];
  let bytes = 0;
  for (const field of fields) bytes += field.length;
  return [{ id, source, deliveries, fields, bytes }];
}
