import type { Codec, Reason } from '../core/types.ts';
import type { Random } from './random.ts';
import type { TrackerRecord } from './record.ts';

/** What is wrong with one record among good ones. */
export interface Fault {
  readonly reason: Reason;
  /** Added to the IO total on the wire. */
  readonly ioTotalError: number;
}

/** The two forms of the stream contract. */
export type Form = 'payload' | 'frame';

/** A record on its way; `fault` is null for one that must become a row. */
export interface ParcelRecord {
  readonly record: TrackerRecord;
  readonly fault: Fault | null;
}

type FaultKind = 'latitude' | 'longitude' | 'angle' | 'io_total';

/** Clocks that were never set (seen: 2004 with satellites), before GPS time, and far ahead. */
const wrongDates = [
  Date.UTC(2004, 0, 1),
  Date.UTC(2008, 0, 1),
  Date.UTC(1970, 0, 1),
  Date.UTC(2080, 5, 1),
] as const;
/** Codec 7 has the years 2007 to 2040 only. */
const codec7WrongDates = [Date.UTC(2007, 0, 1), Date.UTC(2040, 0, 1)] as const;

const dayMs = 86_400_000;

/** The record under a date that no window takes. */
export function misdate(record: TrackerRecord, codec: Codec, random: Random): ParcelRecord {
  const dates: readonly number[] = codec === '7' ? codec7WrongDates : wrongDates;
  const ts = random.pick(dates) + random.int(0, dayMs / 1000) * 1000;
  return { record: { ...record, ts }, fault: { reason: 'ts_out_of_range', ioTotalError: 0 } };
}

/** The record with one thing wrong; unchanged where it has nothing that could be. */
export function spoil(
  record: TrackerRecord,
  codec: Codec,
  form: Form,
  random: Random,
): ParcelRecord {
  if (record.latitude === null) return { record, fault: null };
  const kinds: FaultKind[] = ['latitude', 'longitude'];
  if (codec !== '7') kinds.push('angle');
  if (codec !== '7' && form === 'frame') kinds.push('io_total');
  switch (random.pick(kinds)) {
    case 'latitude':
      return outOfRange({ ...record, latitude: random.int(91, 179) }, 'latitude_out_of_range');
    case 'longitude':
      // The wire's 32 bits end at 214 degrees.
      return outOfRange({ ...record, longitude: random.int(181, 214) }, 'longitude_out_of_range');
    case 'angle':
      return outOfRange({ ...record, angle: random.int(361, 65_535) }, 'angle_out_of_range');
    case 'io_total':
      return { record, fault: { reason: 'io_count_mismatch', ioTotalError: 1 } };
  }
}

function outOfRange(record: TrackerRecord, reason: Reason): ParcelRecord {
  return { record, fault: { reason, ioTotalError: 0 } };
}
