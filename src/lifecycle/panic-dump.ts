import { closeSync, fsyncSync, openSync, readdirSync, unlinkSync, writeSync } from 'node:fs';
import { join } from 'node:path';

/** An entry in flight; its payload goes into the dump as far as there is room. */
export interface DumpedEntry {
  readonly id: string;
  readonly records: number;
  readonly open: number;
  readonly deliveries: number;
  /** name, value, name, value … */
  readonly fields: () => readonly Buffer[];
}

/** What the service was doing when it died. */
export interface PanicState {
  readonly entries: readonly DumpedEntry[];
  /** Account, dependencies, configuration without secrets, recent errors: anything small. */
  readonly summary: object;
}

const maxIds = 10_000;
const maxPayloads = 100;
const maxFieldBytes = 4096;
const maxFieldsShown = 64;
const maxDumpBytes = 8 * 1024 * 1024;
const keptDumps = 10;

/**
 * Writes a dump, readable by this user only: it holds raw payloads, enough to replay them.
 * Bounded in size and number; never follows or overwrites what is there.
 * @returns the path
 * @throws when the directory cannot be written to
 */
export function writeDump(
  dir: string,
  instance: string,
  at: Date,
  head: object,
  state: PanicState,
): string {
  const safeInstance = instance.replace(/[^A-Za-z0-9._-]/g, '_').slice(0, 100);
  const prefix = `processor-panic-${safeInstance}-`;
  removeOldest(dir, prefix);
  const path = join(dir, `${prefix}${at.toISOString().replaceAll(':', '-')}.json`);
  const text = compose(head, state);
  // wx: another's file, or a link planted in a shared directory, is not written through.
  const file = openSync(path, 'wx', 0o600);
  try {
    writeSync(file, text);
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
  return path;
}

/** Payloads are left out from the end until the dump fits. */
function compose(head: object, state: PanicState): string {
  const { entries, summary } = state;
  const inFlight = entries.slice(0, maxIds).map(({ id, records, open, deliveries }) => ({
    ...{ id, records, open, deliveries },
  }));
  for (let payloads = maxPayloads; ; payloads >>= 1) {
    const shown = entries.slice(0, payloads).map(({ id, fields }) => ({
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

function removeOldest(dir: string, prefix: string): void {
  const ours = readdirSync(dir)
    .filter((name) => name.startsWith(prefix) && name.endsWith('.json'))
    .sort();
  for (const name of ours.slice(0, Math.max(0, ours.length - keptDumps + 1))) {
    unlinkSync(join(dir, name));
  }
}
