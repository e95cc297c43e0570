import { createHash } from 'node:crypto';
import type { EntryId, Position } from '../src/core/types.ts';
import { createFleet, type FleetForm } from '../src/simulator/fleet.ts';
import { plainHabits } from '../src/simulator/habits.ts';
import { makeEntry } from '../src/stream/make-entry.ts';
import { createInterpret, type Interpret } from '../src/teltonika/interpret.ts';

/** What one case sends: the same seed gives the same entries and rows. */
export interface Load {
  readonly entries: readonly (readonly (string | Buffer)[])[];
  readonly rows: readonly Position[];
  /** Of the entries, so that two results can be known to speak of the same load. */
  readonly sha256: string;
}

const day = 86_400_000;

/** Good records in order, no habits: every record becomes a row. */
export function makeLoad(
  form: FleetForm,
  packetRecords: number,
  records: number,
  baseTime: number,
  devices = 500,
): Load {
  const fleet = createFleet({
    seed: 1,
    baseTime,
    devices,
    form,
    packetRecords,
    habits: plainHabits,
    expectedRecords: records + 1000,
  });
  const entries: (readonly (string | Buffer)[])[] = [];
  const rows: Position[] = [];
  const hash = createHash('sha256');
  const window = { tsMaxPastMs: 3650 * day, tsMaxFutureMs: day };
  const limits = { maxEntryBytes: 1e9, maxRecords: 255, io16: false };
  const interpret = createInterpret({ ...limits, ...window }, () => baseTime);
  while (rows.length < records) {
    const { fields } = fleet.next();
    for (const field of fields) hash.update(field);
    entries.push(fields);
    rows.push(...toRows(fields, interpret));
  }
  return { entries, rows, sha256: hash.digest('hex') };
}

function toRows(fields: readonly (string | Buffer)[], interpret: Interpret): readonly Position[] {
  const buffers = fields.map((field) => (typeof field === 'string' ? Buffer.from(field) : field));
  const found = interpret(makeEntry('0-1' as EntryId, buffers));
  return found.kind === 'records' ? found.positions : [];
}
