import type { Redis } from 'ioredis';
import type { Entry, EntryId } from '../core/types.ts';
import { DependencyError } from '../core/types.ts';
import { maxEntryId } from './entry-id.ts';
import { historyOf } from './ground.ts';
import { claimStuck, countDeliveries, createGroup, removeIdleConsumers } from './group.ts';
import { type Inspection, inspectCommand, parseInspection } from './inspection.ts';
import { makeEntry } from './make-entry.ts';
import { type RawConnection, takeOver } from './raw-connection.ts';
import { ReplyReader } from './raw-replies.ts';
import { unknownServer } from './read-count.ts';
import { asRedisError, callRedis, connectRedis, isGroupGone } from './redis.ts';
import { markOrdinary } from './redis-error.ts';
import { parseRead, type RawEntry } from './replies.ts';
import { topologyOf } from './topology.ts';

export interface ConsumerOptions {
  readonly key: string;
  readonly group: string;
  readonly consumer: string;
  readonly blockMs: number;
  /** Time beyond `blockMs` before a silent connection counts as dead. */
  readonly slackMs: number;
  /** Idle time after which entries of another instance count as orphaned and are claimed. */
  readonly claimThresholdMs: number;
  readonly claimIntervalMs: number;
  /** Idle time after which consumers without pending entries are removed. */
  readonly consumerIdleMs: number;
  readonly now: () => number;
}

/** What the consumer reports besides entries. */
export interface ConsumerEvents {
  /** The group was missing and was recreated, reading from the start of the stream. */
  groupRecreated(): void;
  /** Pending ids whose entries are no longer in the stream; they are acknowledged. */
  lostPending(ids: readonly EntryId[]): void;
  /** Entries that were trimmed before any consumer received them. */
  lostUndelivered(entries: number): void;
  /** Maximum number of entries that were trimmed undelivered around a restart of Redis. */
  lossUncertain(maxEntries: number): void;
  /** The stream's newest id was before the last delivered one; it is read from the start again. */
  streamWentBack(entries: number): void;
  claimed(entries: number): void;
  /** A scan for orphaned entries finished. */
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
   * Reads own pending entries first after every new connection, because a reply that was lost with
   * the old one left its entries pending. Then claims orphaned entries when a scan is due, then
   * reads new ones. Blocks for at most `blockMs` plus the slack.
   * @param beforePending called before pending entries are read or claimed
   * @throws DependencyError
   */
  read(limit: number, beforePending?: () => void): Promise<readonly Entry[]>;
  close(): void;
}

/**
 * @param open opens a dedicated connection: a blocking read delays every command behind it
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
  /** Id after which to continue reading own pending entries; null once all are read. */
  let pendingCursor: string | null = '0';
  /** Start of the next step of the claim scan. */
  let claimFrom = '-';
  let claimDueMs = 0;
  /** The run_id of the server that the reader is connected to. */
  let runId = unknownServer;
  /** The history that the reader reads from. */
  let history: string | null = null;
  let isCluster = false;

  async function connected(): Promise<RawConnection> {
    if (reader?.isOpen === true) return reader;
    const opened = open();
    isCluster = topologyOf(opened) === 'cluster';
    pendingCursor = '0';
    try {
      const ground = await connectRedis(opened, key);
      runId = ground.runId ?? unknownServer;
      history = ground.history;
    } catch (error) {
      opened.disconnect();
      throw error;
    }
    reader = takeOver(opened);
    events.connected(true);
    return reader;
  }

  /** Closes a failed connection: its late replies cannot be trusted. */
  function discard(): void {
    reader?.close();
    reader = null;
    events.connected(false);
  }

  async function ensureGroup(): Promise<boolean> {
    return await callRedis(async () => createGroup(await shared(), key, group));
  }

  /** Acknowledges ids without an entry: nothing is left to process, and they would stay pending. */
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
    // After the highest possible id Redis would start again at the first entry.
    pendingCursor = last === maxEntryId ? null : last;
    await settleLost(redis, found);
    const present = found.filter((entry) => entry.fields !== null);
    const ids = present.map((entry) => entry.id);
    const deliveries = await countDeliveries(redis, key, group, ids);
    return toEntries(present, { source: 'own_pending', deliveries, history: historyOf(redis) });
  }

  /**
   * Claims orphaned entries, one step of the scan at a time. It runs in the reading loop, so that
   * claimed entries count against the same in-flight budget as new ones.
   */
  async function claim(redis: Redis, limit: number): Promise<Entry[]> {
    const idleMs = options.claimThresholdMs;
    const target = { key, group, consumer, idleMs };
    const { next, entries, deliveries, lost } = await claimStuck(redis, target, claimFrom, limit);
    claimFrom = next ?? '-';
    if (lost.length > 0) events.lostPending(lost);
    if (entries.length > 0) events.claimed(entries.length);
    if (next === null) await endClaimRun(redis);
    return toEntries(entries, { source: 'claimed', deliveries, history: historyOf(redis) });
  }

  async function endClaimRun(redis: Redis): Promise<void> {
    const { claimIntervalMs, consumerIdleMs: idleMs } = options;
    // Jitter, so that several instances do not scan at the same time.
    claimDueMs = now() + claimIntervalMs * (0.75 + Math.random() / 2);
    events.claimRun();
    const removed = await removeIdleConsumers(redis, { key, group, self: consumer, idleMs });
    if (removed.length > 0) events.consumersRemoved(removed);
  }

  /** Inspects the stream for losses and reads new entries, both in one round trip. */
  async function readNew(connection: RawConnection, limit: number): Promise<Entry[]> {
    const words = ['GROUP', group, consumer, 'COUNT', String(limit)];
    const asked = connection.ask([
      inspectCommand(key, group, runId),
      ['XREADGROUP', ...words, 'BLOCK', String(blockMs), 'STREAMS', key, '>'],
    ]);
    const replies = new ReplyReader(await withDeadline(asked, blockMs + options.slackMs));
    report(parseInspection(replies.value()));
    return replies.entries(history);
  }

  function report(found: Inspection): void {
    if (found.kind === 'trimmed') events.lostUndelivered(found.entries);
    if (found.kind === 'uncertain') events.lossUncertain(found.entries);
    if (found.kind === 'went_back') events.streamWentBack(found.entries);
  }

  async function readNext(limit: number, beforePending: () => void): Promise<readonly Entry[]> {
    const connection = await connected();
    if (pendingCursor !== null) {
      beforePending();
      const pending = await readPending(await shared(), pendingCursor, limit);
      if (pendingCursor !== null || pending.length > 0) return pending;
    }
    if (now() >= claimDueMs) {
      beforePending();
      const claimed = await claim(await shared(), limit);
      if (claimed.length > 0) return claimed;
    }
    return await readNew(connection, limit);
  }

  return {
    async prepare() {
      await ensureGroup();
    },
    async recreateGroup() {
      if (await ensureGroup()) events.groupRecreated();
    },
    async read(limit, beforePending = () => undefined) {
      try {
        return await readNext(limit, beforePending);
      } catch (error) {
        if (!isGroupGone(error)) {
          discard();
          if (isCluster && error instanceof Error) markOrdinary(error);
          throw asRedisError(error, [key]);
        }
      }
      if (await ensureGroup()) events.groupRecreated();
      pendingCursor = '0';
      return [];
    },
    close: discard,
  };
}

/** Bounds the wait for a half-open connection, which neither replies nor fails. */
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
    // A late rejection of a discarded connection must not become an unhandled rejection.
    reply.catch(() => undefined);
  }
}

/** Entries with their delivery counts, in the same order. */
function toEntries(
  entries: readonly RawEntry[],
  {
    source,
    deliveries,
    history,
  }: Pick<Entry, 'source' | 'history'> & { readonly deliveries: readonly number[] },
): Entry[] {
  return entries.flatMap(({ id, fields }, index) => {
    if (fields === null) return [];
    return [makeEntry(id, fields, { source, deliveries: deliveries[index] ?? 1, history })];
  });
}
