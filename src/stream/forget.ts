import type { Redis } from 'ioredis';
import type { DeviceId, EntryId } from '../core/types.ts';
import type { ControlKeys } from './control-keys.ts';
import { callRedis } from './redis.ts';
import { unsettledIn } from './replay.ts';
import { unexpectedReply } from './replies.ts';

/** Ids in one step. */
const chunkIds = 500;

export interface ForgetPlace {
  readonly key: string;
  readonly group: string;
  readonly deadLetterKey: string;
  readonly keys: ControlKeys;
}

/** Ids of the entries that contain one device, per key. */
export interface DeviceTraces {
  /** Entries of the stream that the group has processed. */
  readonly settled: readonly string[];
  /** Entries of the stream that would still be stored. */
  readonly unsettled: number;
  readonly deadLetters: readonly string[];
  /** Audit lines and requests to instances that contain the IMEI. */
  readonly audit: readonly string[];
  readonly requests: readonly string[];
}

/** Bounds the memory of one page: an entry may have MAX_ENTRY_BYTES. */
const pageEntries = 200;
/**
 * Finds a device in the stream, the dead letters, the audit and the requests. An entry matches if
 * any part of it contains the IMEI, as text or as the hex digits of the text: payloads and login
 * frames repeat it. Changes nothing. @throws DependencyError
 */
export async function findDevice(
  redis: Redis,
  place: ForgetPlace,
  device: DeviceId,
  signal: AbortSignal,
): Promise<DeviceTraces> {
  const ids = (key: string) => idsNaming(redis, key, device, signal);
  const entries = await ids(place.key);
  const unsettled = new Set<EntryId>();
  for (let from = 0; from < entries.length; from += chunkIds) {
    const found = await unsettledIn(redis, place, entries.slice(from, from + chunkIds));
    for (const id of [...found.undelivered, ...found.pending]) unsettled.add(id);
  }
  return {
    settled: entries.filter((id) => !unsettled.has(id)),
    unsettled: unsettled.size,
    deadLetters: await ids(place.deadLetterKey),
    audit: await ids(place.keys.audit),
    requests: await ids(place.keys.requests),
  };
}

async function idsNaming(
  redis: Redis,
  key: string,
  device: DeviceId,
  signal: AbortSignal,
): Promise<EntryId[]> {
  const ids: EntryId[] = [];
  let from = '-';
  while (!signal.aborted) {
    const page = await readPage(redis, key, from);
    for (const { id, parts } of page) if (isNamed(parts, device)) ids.push(id);
    const last = page.at(-1);
    if (last === undefined || page.length < pageEntries) break;
    from = `(${last.id}`;
  }
  return ids;
}

async function readPage(
  redis: Redis,
  key: string,
  from: string,
): Promise<{ readonly id: EntryId; readonly parts: readonly Buffer[] }[]> {
  return await callRedis(async () => {
    const reply: unknown = await redis.xrangeBuffer(key, from, '+', 'COUNT', pageEntries);
    if (!Array.isArray(reply)) throw unexpectedReply('XRANGE');
    return reply.map((item: unknown) => {
      const [id, parts]: unknown[] = Array.isArray(item) ? item : [];
      if (!Buffer.isBuffer(id) || !Array.isArray(parts)) throw unexpectedReply('XRANGE');
      // Redis prints its ids.
      return { id: id.toString('latin1') as EntryId, parts: parts.filter(Buffer.isBuffer) };
    });
  });
}

function isNamed(parts: readonly Buffer[], device: DeviceId): boolean {
  const hex = Buffer.from(device, 'latin1').toString('hex');
  return parts.some(
    (part) => part.includes(device, 0, 'latin1') || part.includes(hex, 0, 'latin1'),
  );
}
