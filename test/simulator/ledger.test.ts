import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { readDeadLetter, type StoredDeadLetter } from '../../src/simulator/dead-letter.ts';
import type { LedgerRecord, SimulatedEntry } from '../../src/simulator/entry.ts';
import { contentFingerprint } from '../../src/simulator/fingerprint.ts';
import { createFleet } from '../../src/simulator/fleet.ts';
import { createLedger, type Ledger } from '../../src/simulator/ledger.ts';
import {
  checkLedger,
  formatCheck,
  isClean,
  type LedgerSource,
  type StoredRow,
} from '../../src/simulator/ledger-check.ts';
import { readLedger, writeLedger } from '../../src/simulator/ledger-file.ts';

type PositionRecord = Extract<LedgerRecord, { kind: 'position' }>;

/** What a service that makes no mistake leaves behind: the first version wins. */
interface Outcome {
  readonly rows: StoredRow[];
  readonly deadLetters: StoredDeadLetter[];
}

function sentEntries(): SimulatedEntry[] {
  const fleet = createFleet({
    seed: 3,
    baseTime: Date.UTC(2026, 5, 1),
    devices: 10,
    form: 'mixed',
    packetRecords: 8,
    expectedRecords: 20_000,
  });
  return Array.from({ length: 6_000 }, () => fleet.next());
}

const entries = sentEntries();

function deadLetterFor(
  entryId: string,
  entry: SimulatedEntry,
  index: number | null,
  reason: string,
) {
  const own = ['entry_id', entryId, 'stage', 'decode', 'reason', reason];
  const fields = [...own, 'record_index', index === null ? '' : String(index)];
  entry.fields.forEach((field, at) => {
    fields.push(at % 2 === 0 ? `f:${field}` : '');
  });
  const bytes = fields.map((field) => Buffer.from(field));
  entry.fields.forEach((field, at) => {
    if (at % 2 === 1) bytes[own.length + 2 + at] = Buffer.from(field);
  });
  return { id: `9-${entryId}`, fields: bytes };
}

function rowOf({ deviceId, ts, codec, content }: PositionRecord): StoredRow {
  // As the table gives it back: jsonb has its own order of keys.
  const attributes = Object.fromEntries(Object.entries(content.attributes).reverse());
  return { deviceId, ts, codec, ...content, attributes };
}

function settledBy(wins: 'first' | 'last'): Outcome {
  const rows = new Map<string, StoredRow>();
  const deadLetters: StoredDeadLetter[] = [];
  const numbered = entries.map((entry, number) => ({ entry, id: `1-${number}` }));
  for (const { entry, id } of wins === 'first' ? numbered : numbered.toReversed()) {
    for (const record of entry.records) {
      if (record.kind === 'dead_letter') {
        deadLetters.push(deadLetterFor(id, entry, record.recordIndex, record.reasons[0] ?? ''));
      } else if (record.kind === 'position') {
        const key = `${record.deviceId}/${record.ts}`;
        const stored = rows.get(key);
        if (stored === undefined) rows.set(key, rowOf(record));
        else if (contentFingerprint(stored) !== contentFingerprint(record.content)) {
          deadLetters.push(deadLetterFor(id, entry, record.recordIndex, 'conflict'));
        }
      }
    }
  }
  const compare = (a: StoredRow, b: StoredRow) =>
    a.deviceId === b.deviceId ? a.ts - b.ts : a.deviceId < b.deviceId ? -1 : 1;
  return { rows: [...rows.values()].sort(compare), deadLetters };
}

async function* pagesOf<Item>(items: readonly Item[]): AsyncGenerator<Item[]> {
  for (let from = 0; from < items.length; from += 700) {
    yield await Promise.resolve(items.slice(from, from + 700));
  }
}

function sourceOfAll({ rows, deadLetters }: Outcome): LedgerSource {
  return { rows: () => pagesOf(rows), deadLetters: () => pagesOf(deadLetters) };
}

function ledgerOfAll(): Ledger {
  const ledger = createLedger();
  for (const entry of entries) ledger.add(entry);
  return ledger;
}

async function checkOf(outcome: Outcome) {
  return await checkLedger(ledgerOfAll(), sourceOfAll(outcome));
}

test.each(['first', 'last'] as const)(
  'a run in which the %s version is stored is clean',
  async (wins) => {
    const outcome = settledBy(wins);
    const check = await checkOf(outcome);
    expect(check).toMatchObject({ missing: 0, unexpected: 0, doubled: 0, problems: [] });
    expect(isClean(check)).toBe(true);
    const { sent, inserted, duplicate, conflict, deadLetter, message } = check;
    expect(sent).toBe(inserted + duplicate + conflict + deadLetter + message);
    expect(inserted).toBe(outcome.rows.length);
    expect(conflict + deadLetter).toBe(outcome.deadLetters.length);
    for (const count of [inserted, duplicate, conflict, deadLetter, message]) {
      expect(count).toBeGreaterThan(0);
    }
    expect(formatCheck(check)).toBe(
      `sent=${sent} inserted=${inserted} duplicate=${duplicate} conflict=${conflict} dead_letter=${deadLetter} message=${message} missing=0`,
    );
  },
);

/** The same dead letters in the shape with one an entry and a list of rejections. */
function oneForEachEntry(deadLetters: readonly StoredDeadLetter[]): StoredDeadLetter[] {
  const byEntry = new Map<string, StoredDeadLetter[]>();
  for (const deadLetter of deadLetters) {
    const id = String(deadLetter.fields[1]);
    byEntry.set(id, [...(byEntry.get(id) ?? []), deadLetter]);
  }
  return [...byEntry].map(([id, found]) => {
    const rejections = found.map(({ fields }) => {
      return { reason: String(fields[5]), records: String(fields[7]) || null };
    });
    const own = ['version', '2', 'entry_id', id, 'rejections', JSON.stringify(rejections)];
    const original = found[0]?.fields.slice(8) ?? [];
    return { id: `9-${id}`, fields: [...own.map((part) => Buffer.from(part)), ...original] };
  });
}

test('dead letters that list the rejections of an entry count as one a record', async () => {
  const { rows, deadLetters } = settledBy('first');
  const expected = await checkOf({ rows, deadLetters });
  const listed = oneForEachEntry(deadLetters);

  expect(listed.length).toBeLessThan(deadLetters.length);
  expect(await checkOf({ rows, deadLetters: listed })).toEqual(expected);
  const { unexpected, doubled } = await checkOf({
    rows,
    deadLetters: [...listed, ...listed.slice(0, 1)],
  });
  expect([unexpected > 0, doubled > 0]).toEqual([true, true]);
});

test('a range of record indexes stands for each of its records', () => {
  const fields = ['entry_id', '1-1', 'rejections', '[{"reason":"r","records":"0-2,5"}]'];
  const { rejected } = readDeadLetter({
    id: '2-2',
    fields: fields.map((part) => Buffer.from(part)),
  });
  expect(rejected.map(({ recordIndex }) => recordIndex)).toEqual([0, 1, 2, 5]);
});

test('a deleted row is missing and is named', async () => {
  const { rows, deadLetters } = settledBy('first');
  const [gone] = rows.splice(rows.length >> 1, 1);
  const check = await checkOf({ rows, deadLetters });
  expect(check.missing).toBeGreaterThanOrEqual(1);
  expect(check.unexpected).toBe(0);
  expect(isClean(check)).toBe(false);
  expect(check.problems[0]).toContain(`missing: no row for ${gone?.deviceId}`);
});

test('the first, the last and all deleted rows are missing', async () => {
  const { rows, deadLetters } = settledBy('first');
  for (const left of [rows.slice(1), rows.slice(0, -1), []]) {
    const check = await checkOf({ rows: left, deadLetters });
    expect(check.missing).toBeGreaterThanOrEqual(rows.length - left.length);
    expect(check.sent).toBe(
      check.inserted +
        check.duplicate +
        check.conflict +
        check.deadLetter +
        check.message +
        check.missing,
    );
  }
});

test.each([
  ['latitude', { latitude: 1.5 }],
  ['angle', { angle: 359.5 }],
  ['attributes', { attributes: { 16: 1 } }],
  ['codec', { codec: '12' }],
  ['event_io_id', { eventIoId: 77 }],
] as const)('a row with another %s than sent is unexpected', async (_name, change) => {
  const { rows, deadLetters } = settledBy('first');
  const [row] = rows;
  if (row === undefined) throw new Error('no rows');
  rows[0] = { ...row, ...change };
  const check = await checkOf({ rows, deadLetters });
  expect(check.unexpected).toBe(1);
  expect(check.missing).toBeGreaterThanOrEqual(1);
});

test('a row that was not sent is unexpected, also when its time differs by a fraction', async () => {
  const { rows, deadLetters } = settledBy('first');
  const [row] = rows;
  if (row === undefined) throw new Error('no rows');
  const check = await checkOf({
    rows: rows.toSpliced(1, 0, { ...row, ts: row.ts + 0.5 }),
    deadLetters,
  });
  expect(check).toMatchObject({ unexpected: 1, missing: 0 });
});

test('a deleted dead letter is missing', async () => {
  const { rows, deadLetters } = settledBy('first');
  const check = await checkOf({ rows, deadLetters: deadLetters.slice(1) });
  expect(check).toMatchObject({ missing: 1, unexpected: 0 });
});

test('a second dead letter for one record of one entry is doubled and unexpected', async () => {
  const { rows, deadLetters } = settledBy('first');
  const check = await checkOf({ rows, deadLetters: [...deadLetters, ...deadLetters.slice(0, 1)] });
  expect(check).toMatchObject({ missing: 0, unexpected: 1, doubled: 1 });
});

test('a dead letter of another entry with the same id is not doubled', async () => {
  const { rows, deadLetters } = settledBy('first');
  const [first, ...others] = deadLetters;
  const indexOf = ({ fields }: StoredDeadLetter) => readDeadLetter({ id: '', fields }).rejected[0];
  const other = others.find(
    (one) => indexOf(one)?.recordIndex === (first && indexOf(first)?.recordIndex),
  );
  if (first === undefined || other === undefined) throw new Error('two are needed');
  const { entryId } = readDeadLetter(first);
  const at = other.fields.findIndex((field) => field.toString('latin1') === 'entry_id') + 1;
  const renamed = { ...other, fields: other.fields.with(at, Buffer.from(entryId)) };
  const check = await checkOf({
    rows,
    deadLetters: [first, renamed, ...others].filter((one) => one !== other),
  });
  expect(check).toMatchObject({ missing: 0, unexpected: 0, doubled: 0 });
});

test('a dead letter with another reason, or with one byte changed, is not the one expected', async () => {
  const { rows, deadLetters } = settledBy('first');
  const [deadLetter] = deadLetters;
  if (deadLetter === undefined) throw new Error('no dead letters');
  for (const changed of [
    deadLetter.fields.with(5, Buffer.from('row_unclassified')),
    deadLetter.fields.with(
      -1,
      Buffer.concat([deadLetter.fields.at(-1) ?? Buffer.alloc(0), Buffer.from('x')]),
    ),
  ]) {
    const check = await checkOf({
      rows,
      deadLetters: [{ ...deadLetter, fields: changed }, ...deadLetters.slice(1)],
    });
    expect(check).toMatchObject({ missing: 1, unexpected: 1 });
  }
});

test('rows out of order are refused instead of misread', async () => {
  const { rows, deadLetters } = settledBy('first');
  await expect(checkOf({ rows: rows.toReversed(), deadLetters })).rejects.toMatchObject({
    code: 'rows_unordered',
  });
});

test('a ledger that was written and read gives the same check', async () => {
  const folder = await temporaryFolder();
  await writeLedger(ledgerOfAll(), join(folder, 'ledger.ndjson'));
  const ledger = await readLedger(join(folder, 'ledger.ndjson'));
  const outcome = settledBy('first');
  expect(await checkLedger(ledger, sourceOfAll(outcome))).toEqual(await checkOf(outcome));
});

test.each([
  ['', 'empty'],
  ['{"ledger":2}\n', ':1: not a line of a ledger'],
  ['{"ledger":1,"entries":1,"sent":1,"messages":0}\nnot json\n', ':2: not a line of a ledger'],
] as const)('a file %j that is no ledger is refused with its line', async (text, words) => {
  const path = join(await temporaryFolder(), 'ledger.ndjson');
  await writeFile(path, text);
  await expect(readLedger(path)).rejects.toThrow(words);
});

test('a full ledger refuses further records', () => {
  const ledger = createLedger(100);
  expect(() => {
    for (const entry of entries) ledger.add(entry);
  }).toThrow(/holds 100 records/);
});

async function temporaryFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'processor-ledger-'));
  onTestFinished(() => rm(folder, { recursive: true }));
  return folder;
}
