import type { Codec, Reason } from '../core/types.ts';
import type { ExpectedCrossings } from './crossing-ledger.ts';
import type { SimulatedEntry } from './entry.ts';
import type { CrossingRules, ExpectedCrossing } from './expected-crossings.ts';
import { contentFingerprint, entryFingerprint, sourceOf } from './fingerprint.ts';

/** One record that was sent and must become a row, a duplicate or a conflict. */
export interface SentRecord {
  readonly ts: number;
  /** `contentFingerprint` of the row. */
  readonly content: number;
  /** `sourceOf` its entry and index: the dead letter it would leave. */
  readonly source: number;
  readonly codec: Codec;
}

/** A device's sent records in columns, in the order they were sent. */
export interface SentColumns {
  readonly ts: number[];
  readonly content: number[];
  readonly source: number[];
  readonly codec: Codec[];
}

/** Dead deadLetters that one source must leave. */
export interface ExpectedDeadLetters {
  readonly reasons: readonly Reason[];
  count: number;
}

export interface LedgerTotals {
  entries: number;
  /** Records, damaged entries and messages: what must have an outcome. */
  sent: number;
  messages: number;
}

export type LedgerErrorCode = 'ledger_full' | 'ledger_invalid' | 'rows_unordered';

/** A limit or fault of a ledger; the message says what to do. */
export class LedgerError extends Error {
  override readonly name = 'LedgerError';
  readonly code: LedgerErrorCode;

  constructor(code: LedgerErrorCode, message: string, options?: { cause: unknown }) {
    super(message, options);
    this.code = code;
  }
}

/** The records that were sent, so that each one's outcome can be checked. */
export interface Ledger {
  /**
   * Notes an entry that is in the stream.
   * @throws LedgerError `ledger_full`
   */
  add(entry: SimulatedEntry): void;
  addRecord(deviceId: string, record: SentRecord): void;
  addDeadLetters(source: number, reasons: readonly Reason[], count: number): void;
  /** @throws LedgerError `ledger_invalid` when crossings of other rules are there already */
  addCrossings(expected: ExpectedCrossings): void;
  readonly totals: LedgerTotals;
  /** Null: the fleet drove through no geofences. */
  readonly crossings: ExpectedCrossings | null;
  readonly devices: ReadonlyMap<string, SentColumns>;
  readonly deadLetters: ReadonlyMap<number, ExpectedDeadLetters>;
}

/** About 40 bytes of memory a record (measured): 400 MB. */
const defaultMaxRecords = 10_000_000;

/** Keeps numbers, not contents: three of them and a codec for each record. */
export function createLedger(maxRecords = defaultMaxRecords): Ledger {
  const devices = new Map<string, SentColumns>();
  const deadLetters = new Map<number, ExpectedDeadLetters>();
  const totals: LedgerTotals = { entries: 0, sent: 0, messages: 0 };
  let kept = 0;
  let crossings: KnownCrossings | null = null;

  function keep(): void {
    kept += 1;
    if (kept <= maxRecords) return;
    throw new LedgerError(
      'ledger_full',
      `the ledger holds ${maxRecords} records; send fewer in one run`,
    );
  }

  function addRecord(deviceId: string, { ts, content, source, codec }: SentRecord): void {
    keep();
    let columns = devices.get(deviceId);
    if (columns === undefined) {
      columns = { ts: [], content: [], source: [], codec: [] };
      devices.set(deviceId, columns);
    }
    columns.ts.push(ts);
    columns.content.push(content);
    columns.source.push(source);
    columns.codec.push(codec);
  }

  function addDeadLetters(source: number, reasons: readonly Reason[], count: number): void {
    const known = deadLetters.get(source);
    if (known !== undefined) known.count += count;
    else {
      keep();
      deadLetters.set(source, { reasons, count });
    }
  }

  return {
    totals,
    devices,
    deadLetters,
    get crossings() {
      return crossings;
    },
    addCrossings(expected) {
      crossings ??= { rules: expected.rules, geofences: new Set(), crossings: [] };
      checkRules(crossings.rules, expected.rules);
      for (const geofence of expected.geofences) crossings.geofences.add(geofence);
      for (const crossing of expected.crossings) crossings.crossings.push(crossing);
    },
    addRecord,
    addDeadLetters,
    add({ fields, records }) {
      totals.entries += 1;
      totals.sent += records.length;
      const entry = entryFingerprint(fields);
      for (const record of records) {
        if (record.kind === 'message') totals.messages += 1;
        else if (record.kind === 'dead_letter') {
          addDeadLetters(sourceOf(entry, record.recordIndex), record.reasons, 1);
        } else {
          const { deviceId, ts, codec, recordIndex } = record;
          const content = contentFingerprint(record.content);
          addRecord(deviceId, { ts, content, source: sourceOf(entry, recordIndex), codec });
        }
      }
    },
  };
}

interface KnownCrossings extends ExpectedCrossings {
  readonly geofences: Set<string>;
  readonly crossings: ExpectedCrossing[];
}

function checkRules(known: CrossingRules, { maxHopMs, minSatellites }: CrossingRules): void {
  if (known.maxHopMs === maxHopMs && known.minSatellites === minSatellites) return;
  throw new LedgerError(
    'ledger_invalid',
    'the ledgers expect crossings for different DOMAIN_MAX_HOP or DOMAIN_MIN_SATELLITES; check them one by one',
  );
}

/** All versions that were sent under one key. */
export interface SentKey {
  readonly deviceId: string;
  readonly ts: number;
  readonly records: readonly SentRecord[];
}

/** The ledger's keys, ascending by device and time. */
export function* sentKeys(ledger: Ledger): Generator<SentKey, undefined> {
  for (const deviceId of [...ledger.devices.keys()].sort()) {
    const columns = ledger.devices.get(deviceId);
    if (columns !== undefined) yield* keysOf(deviceId, columns);
  }
}

function* keysOf(deviceId: string, columns: SentColumns): Generator<SentKey, undefined> {
  const indexes = Uint32Array.from(columns.ts.keys());
  indexes.sort((a, b) => (columns.ts[a] ?? 0) - (columns.ts[b] ?? 0));
  let records: SentRecord[] = [];
  for (const index of indexes) {
    const record = recordAt(columns, index);
    const [first] = records;
    if (first !== undefined && first.ts !== record.ts) {
      yield { deviceId, ts: first.ts, records };
      records = [];
    }
    records.push(record);
  }
  const [first] = records;
  if (first !== undefined) yield { deviceId, ts: first.ts, records };
}

function recordAt({ ts, content, source, codec }: SentColumns, index: number): SentRecord {
  const [atTs, atContent, atSource, atCodec] = [
    ts[index],
    content[index],
    source[index],
    codec[index],
  ];
  if (
    atTs === undefined ||
    atContent === undefined ||
    atSource === undefined ||
    atCodec === undefined
  ) {
    throw new RangeError(`no record at ${index} of ${ts.length}`);
  }
  return { ts: atTs, content: atContent, source: atSource, codec: atCodec };
}
