import type { Redis } from 'ioredis';
import type { Entry, EntryId, EntrySource } from '../core/types.ts';
import { DependencyError } from '../core/types.ts';
import { maxEntryId } from './entry-id.ts';
import { claimStuck, countDeliveries, createGroup, removeIdleConsumers } from './group.ts';
import { type Inspection, inspectCommand, parseInspection } from './inspection.ts';
import { makeEntry } from './make-entry.ts';
import { type RawConnection, takeOver } from './raw-connection.ts';
import { ReplyReader } from './raw-replies.ts';
import { serverRunId, unknownServer } from './read-count.ts';
import { asRedisError, callRedis, connectRedis, isGroupGone } from './redis.ts';
import { parseRead, type RawEntry } from './replies.ts';

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
  /** At most so many entries were trimmed before any consumer got them, around a restart of Redis. */
  lossUncertain(atMost: number): void;
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
  /** Recreates a deleted group while the reader waits, for example for space in flight. @throws DependencyError */
  recreateGroup(): Promise<void>;
  /**
   * Own pending entries first, after every new connection: a reply that was lost with the old
   * one left its entries there. Then, when it is time, those of a dead instance. Then new ones.
   * Blocks for at most `blockMs` and the slack.
   * @throws DependencyError
   */
  read(limit: number): Promise<readonly Entry[]>;
  close(): void;
}

/**
 * @param open makes a connection of its own: a blocking read holds up all behind it
 * @param shared the connection for everything else
 */
export function createConsumer(
  open: () => Redis,
  shared: () => Promise<Redis>,
  options: ConsumerOptions,
  events: ConsumerEvents,
): Consumer {
  const { key, group, consumer, blockMs, now } = options;
  let reader: RawConnection | null = null;
  /** Where reading own pending entries goes on; null once they are all read. */
  let pendingCursor: string | null = '0';
  /** Where a claim run goes on; it scans in steps. */
  let claimFrom = '-';
  let claimDueMs = 0;
  /** Of the server that the reader is connected to. */
  let runId = unknownServer;

  async function connected(): Promise<RawConnection> {
    if (reader?.isOpen === true) return reader;
    const opened = open();
    pendingCursor = '0';
    try {
      await connectRedis(opened, key);
      runId = await serverRunId(opened);
    } catch (error) {
      opened.disconnect();
      throw error;
    }
    reader = takeOver(opened);
    events.connected(true);
    return reader;
  }

  /** A connection that failed is thrown away: what it would still answer is not trusted. */
  function discard(): void {
    reader?.close();
    reader = null;
    events.connected(false);
  }

  async function makeGroup(): Promise<boolean> {
    return await callRedis(async () => createGroup(await shared(), key, group));
  }

  /** Nothing is left to process, and unacknowledged the ids would stay for ever. */
  async function settleLost(redis: Redis, found: readonly RawEntry[]): Promise<void> {
    const lost = found.filter((entry) => entry.fields === null).map((entry) => entry.id);
    if (lost.length === 0) return;
    await redis.xack(key, group, ...lost);
    events.lostPending(lost);
  }

  async function readPending(redis: Redis, cursor: string, limit: number): Promise<Entry[]> {
    const words = ['GROUP', group, consumer, 'COUNT', String(limit), 'STREAMS', key, cursor];
    const found = parseRead(await redis.callBuffer('XREADGROUP', ...words));
    const last = found.at(-1)?.id ?? maxEntryId;
    // Behind the last id there is, Redis would begin again at the first entry.
    pendingCursor = last === maxEntryId ? null : last;
    await settleLost(redis, found);
    const there = found.filter((entry) => entry.fields !== null);
    const ids = there.map((entry) => entry.id);
    const deliveries = await countDeliveries(redis, key, group, ids);
    return there.flatMap((entry, at) => toEntry(entry, 'own_pending', deliveries[at] ?? 1));
  }

  /**
   * Takes over entries whose instance is gone, one step of the scan at a time. In the reading
   * loop, so that claimed entries stay within the same in-flight budget as new ones.
   */
  async function claim(redis: Redis, limit: number): Promise<Entry[]> {
    const idleMs = options.claimThresholdMs;
    const target = { key, group, consumer, idleMs };
    const { next, entries, deliveries, lost } = await claimStuck(redis, target, claimFrom, limit);
    claimFrom = next ?? '-';
    if (lost.length > 0) events.lostPending(lost);
    if (entries.length > 0) events.claimed(entries.length);
    if (next === null) await endClaimRun(redis);
    return entries.flatMap((entry, at) => toEntry(entry, 'claimed', deliveries[at] ?? 1));
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
  async function readNew(connection: RawConnection, limit: number): Promise<Entry[]> {
    const words = ['GROUP', group, consumer, 'COUNT', String(limit)];
    const asked = connection.ask([
      inspectCommand(key, group, runId),
      ['XREADGROUP', ...words, 'BLOCK', String(blockMs), 'STREAMS', key, '>'],
    ]);
    const replies = new ReplyReader(await withDeadline(asked, blockMs + options.slackMs));
    report(parseInspection(replies.value()));
    return replies.entries().map(({ id, fields, bytes }) => {
      return { id, source: 'new', deliveries: 1, fields, bytes };
    });
  }

  function report(found: Inspection): void {
    if (found.kind === 'trimmed') events.lostUndelivered(found.entries);
    if (found.kind === 'uncertain') events.lossUncertain(found.entries);
    if (found.kind === 'went_back') events.streamWentBack(found.entries);
  }

  async function readNext(limit: number): Promise<readonly Entry[]> {
    const connection = await connected();
    if (pendingCursor !== null) {
      const pending = await readPending(await shared(), pendingCursor, limit);
      if (pendingCursor !== null || pending.length > 0) return pending;
    }
    if (now() >= claimDueMs) {
      const claimed = await claim(await shared(), limit);
      if (claimed.length > 0) return claimed;
    }
    return await readNew(connection, limit);
  }

  return {
    async prepare() {
      await makeGroup();
    },
    async recreateGroup() {
      if (await makeGroup()) events.groupRecreated();
    },
    async read(limit) {
      try {
        return await readNext(limit);
      } catch (error) {
        if (!isGroupGone(error)) {
          discard();
          throw asRedisError(error, [key]);
        }
      }
      if (await makeGroup()) events.groupRecreated();
      pendingCursor = '0';
      return [];
    },
    close: discard,
  };
}

/** Ends the wait for a half-open connection, which answers nothing and never fails. */
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
  return [makeEntry(id, fields, source, deliveries)];
}
