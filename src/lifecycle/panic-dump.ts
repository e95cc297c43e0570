import {
  closeSync,
  fsyncSync,
  lstatSync,
  openSync,
  readdirSync,
  unlinkSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';

/** An entry in flight; the dump contains its payload if the size limit allows. */
export interface DumpedEntry {
  /** Absent without shards; ids are unique only within a shard. */
  readonly shard?: number;
  readonly id: string;
  readonly records: number;
  readonly open: number;
  /** Records that are dead-lettered together with the acknowledgement. */
  readonly rejected: number;
  readonly deliveries: number;
  /** name, value, name, value … */
  readonly fields: () => readonly Buffer[];
}

/** What the service was doing when it died. */
export interface PanicState {
  readonly entries: readonly DumpedEntry[];
  /** Account, dependencies, configuration without secrets, recent errors. */
  readonly summary: object;
}

const maxIds = 10_000;
const maxPayloads = 100;
const maxFieldBytes = 4096;
const maxFieldsShown = 64;
const maxDumpBytes = 8 * 1024 * 1024;
/** Maximum dumps kept of one instance. */
const maxInstanceDumps = 10;
/** Maximum dumps kept of all instances of this user: a container's name changes with every deploy. */
const maxDumps = 50;
const dumpName = /^processor-panic-(.+)-(\d{4}-\d\d-\d\dT\d\d-\d\d-\d\d\.\d{3}Z)\.json$/;

export interface WrittenDump {
  /** Path of the dump. */
  readonly dump: string;
  /** Why old dumps could not be removed; absent when they could. */
  readonly old_dumps_kept?: string;
}

/**
 * Writes a dump, readable by this user only: it holds raw payloads, enough to replay them.
 * Bounded in size and number. It never follows a link or overwrites a file, and an old dump that
 * cannot be removed does not prevent the new one.
 * @throws when the directory cannot be written to
 */
export function writeDump(
  dir: string,
  instance: string,
  at: Date,
  head: object,
  state: PanicState,
): WrittenDump {
  const safeInstance = instance.replace(/[^A-Za-z0-9._-]/g, '_').slice(0, 100);
  const kept = removeOldest(dir, safeInstance);
  const time = at.toISOString().replaceAll(':', '-');
  const path = join(dir, `processor-panic-${safeInstance}-${time}.json`);
  const text = compose(head, state);
  // wx refuses an existing file and a link planted in a shared directory.
  const file = openSync(path, 'wx', 0o600);
  try {
    writeSync(file, text);
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
  return { dump: path, ...(kept === null ? {} : { old_dumps_kept: kept }) };
}

/** Omits payloads from the end until the dump fits. */
function compose(head: object, state: PanicState): string {
  const { entries, summary } = state;
  const inFlight = entries
    .slice(0, maxIds)
    .map(({ shard, id, records, open, rejected, deliveries }) => ({
      ...(shard !== undefined && { shard }),
      id,
      records,
      open,
      rejected,
      deliveries,
    }));
  for (let payloads = maxPayloads; ; payloads >>= 1) {
    const shown = entries.slice(0, payloads).map(({ shard, id, fields }) => ({
      ...(shard !== undefined && { shard }),
      id,
      fields: fields().slice(0, maxFieldsShown).map(describeField),
    }));
    const dump = {
      ...head,
      entries_in_flight: entries.length,
      ...summary,
      in_flight: inFlight,
      payloads: shown,
    };
    const text = `${JSON.stringify(dump)}\n`;
    if (Buffer.byteLength(text) <= maxDumpBytes || payloads === 0) {
      return text.length <= maxDumpBytes ? text : `${JSON.stringify(head)}\n`;
    }
  }
}

function describeField(field: Buffer): object {
  const base64 = field.subarray(0, maxFieldBytes).toString('base64');
  return field.length <= maxFieldBytes ? { base64 } : { base64, cut_from_bytes: field.length };
}

/**
 * Removes the oldest dumps so that one more fits under both limits. Counts and removes only this
 * user's files: those of another user in a shared folder neither count nor prevent the dump.
 * @returns the code of the first failure, or null
 */
function removeOldest(dir: string, instance: string): string | null {
  const failures: string[] = [];
  const attempt = <Result>(action: () => Result, otherwise: Result): Result => {
    try {
      return action();
    } catch (error) {
      failures.push(error instanceof Error && 'code' in error ? String(error.code) : 'unknown');
      return otherwise;
    }
  };
  const dumps = attempt(() => readdirSync(dir), [])
    .map((name) => ({ name, match: dumpName.exec(name) }))
    .filter(({ name, match }) => match !== null && attempt(() => isOwnFile(join(dir, name)), false))
    .map(({ name, match }) => ({ name, instance: match?.[1] ?? '', time: match?.[2] ?? '' }))
    .sort((a, b) => (a.time < b.time ? -1 : 1));
  const ofInstance = dumps.filter((dump) => dump.instance === instance);
  const surplus = new Set([
    ...ofInstance.slice(0, Math.max(0, ofInstance.length - maxInstanceDumps + 1)),
    ...dumps.slice(0, Math.max(0, dumps.length - maxDumps + 1)),
  ]);
  for (const { name } of surplus) attempt(() => unlinkSync(join(dir, name)), undefined);
  return failures[0] ?? null;
}

function isOwnFile(path: string): boolean {
  const found = lstatSync(path);
  return found.isFile() && found.uid === process.getuid?.();
}
