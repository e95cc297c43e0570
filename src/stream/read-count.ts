import { type Redis, ReplyError } from 'ioredis';
import { controlKeys } from './control-keys.ts';
import { compareIds } from './entry-id.ts';
import { groupInfoOf, type Info, infoOf, numberOf } from './info.ts';

/** Stands for an unknown run_id; it never matches a noted one. */
export const unknownServer = '-';

/**
 * Reads the server's run_id, which changes with every start of Redis. Returns `-` if an ACL refuses
 * INFO; then Redis' own count is never trusted, and entries are counted instead.
 */
export async function serverRunId(redis: Redis): Promise<string> {
  try {
    return /^run_id:(\w+)/m.exec(await redis.info('server'))?.[1] ?? unknownServer;
  } catch (error) {
    if (isDenied(error)) return unknownServer;
    throw error;
  }
}

function isDenied(error: unknown): boolean {
  return error instanceof ReplyError && String(error).includes('NOPERM');
}

/** XINFO of stream and group, and how many entries the group has read for certain. */
export interface Progress {
  readonly stream: Info;
  readonly group: Info;
  /** Null if Redis' own count may be from before a restart and no inspection has corrected it. */
  readonly read: number | null;
}

/** Reads the progress of a group. @throws any error of ioredis */
export async function viewReadProgress(
  redis: Redis,
  { key, group: name }: { readonly key: string; readonly group: string },
): Promise<Progress> {
  const stream = infoOf(await redis.call('XINFO', 'STREAM', key));
  const group = groupInfoOf(await redis.call('XINFO', 'GROUPS', key), name);
  return { stream, group, read: await certainRead(redis, key, group) };
}

/**
 * How many entries the group has read for certain, from the note of the last inspection; null if
 * unknown. Redis' own `entries-read` is wrong after a restart (7.0.15).
 * @param group the group in an XINFO GROUPS reply
 */
export async function certainRead(redis: Redis, key: string, group: Info): Promise<number | null> {
  const note = await readNote(redis, key, String(group.get('name')));
  if (note === null) return null;
  const delivered = String(group.get('last-delivered-id'));
  if (delivered === note.delivered) return note.read;
  const read = numberOf(group.get('entries-read'));
  const isCounting =
    read !== null &&
    read > note.read &&
    compareIds(delivered, note.delivered) > 0 &&
    note.server !== unknownServer &&
    note.server === (await serverRunId(redis));
  return isCounting ? read : null;
}

interface Note {
  readonly server: string;
  readonly delivered: string;
  readonly read: number;
}

/** Reads what the last inspection noted; null if there is no note or the ACL forbids reading it. */
async function readNote(redis: Redis, key: string, group: string): Promise<Note | null> {
  try {
    const notes = await redis.hgetall(controlKeys(key).counter);
    const found = /^(\S+) (\d+-\d+) (\d+)$/.exec(notes[group] ?? '');
    const [, server = '', delivered = '', read = ''] = found ?? [];
    return found === null ? null : { server, delivered, read: Number(read) };
  } catch (error) {
    if (isDenied(error)) return null;
    throw error;
  }
}
