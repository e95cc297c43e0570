import type { Redis } from 'ioredis';
import type { Entry, EntryId, EntrySource, Logger } from '../core/types.ts';
import { DependencyError } from '../core/types.ts';
import { asRedisError, isGroupGone } from './redis.ts';

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
  readonly now: () => number;
}

export interface ConsumerEvents {
  /** The group was gone and was made anew, at the start of the stream. */
  groupRecreated(): void;
  /** Ids still pending whose entries are no longer in the stream. */
  lostPending(ids: readonly EntryId[]): void;
  claimed(entries: number): void;
}

export interface Consumer {
  /** Creates stream and group where they are missing. @throws DependencyError */
  prepare(): Promise<void>;
  /**
   * Own pending entries first, after every new connection: a reply that was lost with the old
   * one left its entries there. Then, when it is time, those of a dead instance. Then new ones.
   Blocks for at most `blockMs` and the slack.
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
  log: Logger,
): Consumer {
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
    return opened;
  }

  /** A connection that failed is thrown away: what it would still answer is not trusted. */
  function discard(): void {
    client?.disconnect();
    client = null;
  }

  async function createGroup(redis: Redis): Promise<boolean> {
    try {
      // From 0: entries written before the group existed are data too.
      await redis.xgroup('CREATE', options.key, options.group, '0', 'MKSTREAM');
      return true;
    } catch (error) {
      if (error instanceof Error && error.message.startsWith('BUSYGROUP')) return false;
      throw error;
    }
  }

  async function readGroup(redis: Redis, from: string, limit: number): Promise<RawEntry[]> {
    const { group, consumer, key, blockMs, slackMs } = options;
    const reply = redis.callBuffer(
      'XREADGROUP',
      ...['GROUP', group, consumer, 'COUNT', String(limit)],
      ...(from === '>' ? ['BLOCK', String(blockMs)] : []),
      ...['STREAMS', key, from],
    );
    return parseReply(await withDeadline(reply, blockMs + slackMs));
  }

  async function readPending(redis: Redis, cursor: string, limit: number): Promise<Entry[]> {
    const found = await readGroup(redis, cursor, limit);
    pendingCursor = found.at(-1)?.id ?? null;
    const lost = found.filter((entry) => entry.fields === null).map((entry) => entry.id);
    if (lost.length > 0) {
      // Trimmed under us: nothing is left to process, and unacknowledged they would stay for ever.
      await redis.xack(options.key, options.group, ...lost);
      events.lostPending(lost);
    }
    return found.flatMap((entry) => toEntry(entry, 'own_pending'));
  }

  /**
   * Takes over entries whose instance is gone, one step of the scan at a time. In the reading
   * loop, so that claimed entries stay within the same in-flight budget as new ones.
   */
  async function claim(redis: Redis, limit: number): Promise<Entry[]> {
    const { key, group, consumer, claimThresholdMs, claimIntervalMs, now } = options;
    const reply = await redis.callBuffer(
      'XAUTOCLAIM',
      ...[key, group, consumer, String(claimThresholdMs), claimCursor, 'COUNT', String(limit)],
    );
    const { cursor, entries, deleted } = parseClaim(reply);
    claimCursor = cursor;
    // Jitter, so that several instances do not scan in step.
    if (cursor === '0-0') claimDueMs = now() + claimIntervalMs * (0.75 + Math.random() / 2);
    if (deleted.length > 0) events.lostPending(deleted);
    const taken = entries.flatMap((entry) => toEntry(entry, 'claimed'));
    if (taken.length > 0) events.claimed(taken.length);
    return taken;
  }

  return {
    async prepare() {
      try {
        await createGroup(await connected());
      } catch (error) {
        discard();
        throw asRedisError(error);
      }
    },
    async read(limit) {
      try {
        const redis = await connected();
        if (pendingCursor !== null) {
          const pending = await readPending(redis, pendingCursor, limit);
          if (pendingCursor !== null) return pending;
        }
        if (options.now() >= claimDueMs) {
          const claimed = await claim(redis, limit);
          if (claimed.length > 0) return claimed;
        }
        return (await readGroup(redis, '>', limit)).flatMap((entry) => toEntry(entry, 'new'));
      } catch (error) {
        if (isGroupGone(error) && client !== null) {
          await recreateGroup(client);
          return [];
        }
        discard();
        throw asRedisError(error);
      }
    },
    close: discard,
  };

  async function recreateGroup(redis: Redis): Promise<void> {
    try {
      if (await createGroup(redis)) {
        log.error(
          { stream: options.key, group: options.group },
          'consumer group was gone; recreated from the start',
        );
        events.groupRecreated();
      }
      pendingCursor = '0';
    } catch (error) {
      discard();
      throw asRedisError(error);
    }
  }
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

interface RawEntry {
  readonly id: EntryId;
  /** null when the entry was deleted from the stream while it was pending. */
  readonly fields: readonly Buffer[] | null;
}

/** [[key, [[id, [name, value, …] | nil], …]]] or nil, all Buffers. */
function parseReply(reply: unknown): RawEntry[] {
  if (reply === null) return [];
  const stream: unknown = Array.isArray(reply) ? reply[0] : undefined;
  return parseEntries(Array.isArray(stream) ? stream[1] : undefined, 'XREADGROUP');
}

function parseEntries(entries: unknown, command: string): RawEntry[] {
  if (!Array.isArray(entries)) throw unexpectedReply(command);
  return entries.map((item: unknown) => {
    if (!Array.isArray(item) || !Buffer.isBuffer(item[0])) throw unexpectedReply(command);
    return { id: toEntryId(item[0]), fields: isBuffers(item[1]) ? item[1] : null };
  });
}

/** [cursor, [[id, fields | nil], …], [deleted id, …]]; the third element since Redis 7.0. */
function parseClaim(reply: unknown): {
  cursor: string;
  entries: RawEntry[];
  deleted: EntryId[];
} {
  if (!Array.isArray(reply) || !Buffer.isBuffer(reply[0])) throw unexpectedReply('XAUTOCLAIM');
  const deleted: unknown = reply[2] ?? [];
  if (!isBuffers(deleted)) throw unexpectedReply('XAUTOCLAIM');
  return {
    cursor: reply[0].toString('latin1'),
    entries: parseEntries(reply[1], 'XAUTOCLAIM'),
    deleted: deleted.map(toEntryId),
  };
}

/** Entries in a shape we cannot read would stay pending for ever, unseen. */
function unexpectedReply(command: string): DependencyError {
  const message = `${command} answered in an unknown shape: is this Redis 7.0 or later?`;
  return new DependencyError('redis', 'configuration', 'REPLY_SHAPE', message);
}

function isBuffers(value: unknown): value is Buffer[] {
  return Array.isArray(value) && value.every((item) => Buffer.isBuffer(item));
}

function toEntryId(bytes: Buffer): EntryId {
  // Redis prints its ids; this is where one enters.
  return bytes.toString('latin1') as EntryId;
}

function toEntry({ id, fields }: RawEntry, source: EntrySource): Entry[] {
  if (fields === null) return [];
  let bytes = 0;
  for (const field of fields) bytes += field.length;
  return [{ id, source, fields, bytes }];
}
