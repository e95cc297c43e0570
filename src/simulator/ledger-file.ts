import { once } from 'node:events';
import { constants, createReadStream } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { createInterface } from 'node:readline';
import { pipeline } from 'node:stream/promises';
import { z } from 'zod';
import { codecs, reasons } from '../core/types.ts';
import type { ExpectedCrossings } from './crossing-ledger.ts';
import { createLedger, type Ledger, LedgerError, type SentColumns } from './ledger.ts';

/** Records or dead letters on one line of the file. */
const lineItems = 1_000;
const version = 1;

const whole = z.number().int().nonnegative();
const recordLine = z.object({
  device: z.string(),
  records: z.array(z.tuple([z.number(), whole, whole, z.enum(codecs)])),
});
const deadLetterLine = z.object({
  letters: z.array(z.tuple([whole, z.number().int().positive(), z.array(z.enum(reasons))])),
});
/** Geofences of a run that drives circuits; a ledger without one expects no timing records. */
const geofenceLine = z.object({
  geofences: z.array(z.string()),
  max_hop_ms: whole,
  min_satellites: whole,
});
/** Of one device: geofence, direction, earliest, latest, whether it is required. */
const crossingLine = z.object({
  device: z.string(),
  crossings: z.array(
    z.tuple([z.string(), z.enum(['enter', 'exit']), z.number(), z.number(), z.boolean()]),
  ),
});
const headLine = z.object({
  ledger: z.literal(version),
  entries: whole,
  sent: whole,
  messages: whole,
});

/** Opens a new file for a ledger: one that is there already, or a link, is refused. */
export function openLedgerFile(path: string): Promise<FileHandle> {
  const { O_WRONLY, O_CREAT, O_EXCL, O_NOFOLLOW } = constants;
  return open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0o600);
}

/**
 * Writes a ledger as NDJSON: totals, then records by device, then expected dead letters.
 * @param file a path that is not there yet, or what `openLedgerFile` opened; closed afterwards
 */
export async function writeLedger(ledger: Ledger, file: string | FileHandle): Promise<void> {
  const handle = typeof file === 'string' ? await openLedgerFile(file) : file;
  await pipeline(linesOf(ledger), handle.createWriteStream());
}

/**
 * Reads what `writeLedger` wrote.
 * @param ledger takes the file's content; several files can go into one
 * @throws LedgerError `ledger_invalid` with the line, `ledger_full`; file errors as Node has them
 */
export async function readLedger(path: string, ledger = createLedger()): Promise<Ledger> {
  const input = createReadStream(path);
  await once(input, 'open');
  let number = 0;
  for await (const line of createInterface({ input, crlfDelay: Number.POSITIVE_INFINITY })) {
    number += 1;
    if (!takeLine(ledger, parsed(line), number === 1)) {
      throw new LedgerError('ledger_invalid', `${path}:${number}: not a line of a ledger`);
    }
  }
  if (number === 0) throw new LedgerError('ledger_invalid', `${path}: the file is empty`);
  return ledger;
}

function* linesOf(ledger: Ledger): Generator<string> {
  yield line({ ledger: version, ...ledger.totals });
  for (const [device, columns] of ledger.devices) {
    for (let from = 0; from < columns.ts.length; from += lineItems) {
      yield line({ device, records: recordsFrom(columns, from) });
    }
  }
  const deadLetters = [...ledger.deadLetters].map(([source, { count, reasons: allowed }]) => [
    source,
    count,
    allowed,
  ]);
  for (let from = 0; from < deadLetters.length; from += lineItems) {
    yield line({ letters: deadLetters.slice(from, from + lineItems) });
  }
  if (ledger.crossings !== null) yield* crossingLinesOf(ledger.crossings);
}

function* crossingLinesOf({ rules, geofences, crossings }: ExpectedCrossings): Generator<string> {
  const { maxHopMs, minSatellites } = rules;
  yield line({ geofences: [...geofences], max_hop_ms: maxHopMs, min_satellites: minSatellites });
  for (const [device, own] of Map.groupBy(crossings, (crossing) => crossing.device)) {
    const rows = own.map(({ geofence, direction, earliest, latest, isRequired }) => [
      geofence,
      direction,
      earliest,
      latest,
      isRequired,
    ]);
    for (let from = 0; from < rows.length; from += lineItems) {
      yield line({ device, crossings: rows.slice(from, from + lineItems) });
    }
  }
}

function line(value: object): string {
  return `${JSON.stringify(value)}\n`;
}

function recordsFrom({ ts, content, source, codec }: SentColumns, from: number): unknown[] {
  return ts
    .slice(from, from + lineItems)
    .map((time, at) => [time, content[from + at], source[from + at], codec[from + at]]);
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    // Answered with the line's number by the caller.
    return undefined;
  }
}

function takeLine(ledger: Ledger, value: unknown, first: boolean): boolean {
  if (first) {
    const head = headLine.safeParse(value);
    if (!head.success) return false;
    const { entries, sent, messages } = head.data;
    ledger.totals.entries += entries;
    ledger.totals.sent += sent;
    ledger.totals.messages += messages;
    return true;
  }
  const records = recordLine.safeParse(value);
  if (records.success) {
    for (const [ts, content, source, codec] of records.data.records) {
      ledger.addRecord(records.data.device, { ts, content, source, codec });
    }
    return true;
  }
  const deadLetters = deadLetterLine.safeParse(value);
  if (!deadLetters.success) return takeCrossings(ledger, value);
  for (const [source, count, allowed] of deadLetters.data.letters) {
    ledger.addDeadLetters(source, allowed, count);
  }
  return true;
}

function takeCrossings(ledger: Ledger, value: unknown): boolean {
  const head = geofenceLine.safeParse(value);
  if (head.success) {
    const { geofences, max_hop_ms: maxHopMs, min_satellites: minSatellites } = head.data;
    const rules = { maxHopMs, minSatellites };
    ledger.addCrossings({ rules, geofences: new Set(geofences), crossings: [] });
    return true;
  }
  const found = crossingLine.safeParse(value);
  const known = ledger.crossings;
  if (!found.success || known === null) return false;
  const { device } = found.data;
  const crossings = found.data.crossings.map(
    ([geofence, direction, earliest, latest, isRequired]) => {
      return { device, geofence, direction, earliest, latest, isRequired };
    },
  );
  ledger.addCrossings({ rules: known.rules, geofences: new Set(), crossings });
  return true;
}
