import { expect, test } from 'vitest';
import type { Entry, EntryId, Interpretation } from '../../src/core/types.ts';
import type { LedgerRecord, SimulatedEntry } from '../../src/simulator/entry.ts';
import { contentFingerprint } from '../../src/simulator/fingerprint.ts';
import { createFleet, type FleetForm } from '../../src/simulator/fleet.ts';
import { realHabits } from '../../src/simulator/habits.ts';
import { makeEntry } from '../../src/stream/make-entry.ts';
import { createInterpret } from '../../src/teltonika/interpret.ts';

const baseTime = Date.UTC(2026, 5, 1, 12);
const interpret = createInterpret(
  {
    maxEntryBytes: 262_144,
    tsMaxPastMs: 5 * 365 * 86_400_000,
    tsMaxFutureMs: 86_400_000,
    maxRecords: 255,
    io16: false,
  },
  () => baseTime,
);

function isEntryId(text: string): text is EntryId {
  return /^\d+-\d+$/.test(text);
}

function asEntry(simulated: SimulatedEntry): Entry {
  const id = '1-1';
  if (!isEntryId(id)) throw new TypeError('not an entry id');
  const fields = simulated.fields.map((field) => Buffer.from(field));
  return makeEntry(id, fields);
}

/** An interpretation in the ledger's words: what each record became. */
function outcomesOf(found: Interpretation): string[] {
  switch (found.kind) {
    case 'message':
      return ['message'];
    case 'rejected':
      return [`dead letter ${found.rejection.recordIndex} ${found.rejection.reason}`];
    case 'records':
      return [
        ...found.rejections.map(
          ({ recordIndex, reason }) => `dead letter ${recordIndex} ${reason}`,
        ),
        ...found.positions.map((position) => {
          const { deviceId, ts, recordIndex, codec } = position;
          const content = { ...position, attributes: JSON.parse(String(position.attributes)) };
          return `row ${recordIndex} ${deviceId} ${ts} ${codec} ${contentFingerprint(content)}`;
        }),
      ];
  }
}

function expectedOf(record: LedgerRecord): string {
  switch (record.kind) {
    case 'message':
      return 'message';
    case 'dead_letter':
      return `dead letter ${record.recordIndex} ${record.reasons.join(' or ')}`;
    case 'position': {
      const { recordIndex, deviceId, ts, codec, content } = record;
      return `row ${recordIndex} ${deviceId} ${ts} ${codec} ${contentFingerprint(content)}`;
    }
  }
}

/** Habits that are rare, often enough for every kind to occur. */
const frequent = {
  ...realHabits,
  wrongClock: 0.01,
  repeatedClock: 0.01,
  badRecord: 0.02,
  message: 0.03,
  corrupt: 0.05,
  empty: 0.01,
  codecChange: 0.01,
  foreign: 0.01,
  io16: 0.2,
};

for (const form of ['a', 'b', 'mixed'] as const satisfies readonly FleetForm[]) {
  test(`20,000 entries of form ${form} are interpreted as their ledger records expect`, () => {
    const fleet = createFleet({
      seed: 11,
      baseTime,
      devices: 60,
      form,
      packetRecords: 6,
      habits: frequent,
      expectedRecords: 140_000,
    });
    const seen = new Map<string, number>();
    for (let number = 0; number < 20_000; number += 1) {
      const simulated = fleet.next();
      const found = outcomesOf(interpret(asEntry(simulated))).sort();
      const expected = simulated.records.map(expectedOf).sort();
      if (found.join('\n') !== expected.join('\n')) expect(found).toEqual(expected);
      for (const record of simulated.records) {
        const kind = record.kind === 'dead_letter' ? record.reasons.join() : record.kind;
        seen.set(kind, (seen.get(kind) ?? 0) + 1);
      }
      if (simulated.records.length === 0) seen.set('empty', (seen.get('empty') ?? 0) + 1);
    }
    const common = ['angle_out_of_range', 'latitude_out_of_range', 'longitude_out_of_range'];
    const framed = ['codec_unknown', 'count_mismatch', 'crc_mismatch', 'empty', 'message'];
    const foreign = ['datagram_invalid', 'preamble_invalid'];
    const framedToo = ['frame_hex_invalid', 'io_count_mismatch', 'trailing_bytes', 'truncated'];
    const payloads = ['attribute_invalid', 'device_id_mismatch', 'json_invalid', 'payload_shape'];
    expect([...seen.keys()].sort()).toEqual(
      [
        ...common,
        'position',
        'ts_out_of_range',
        ...(form === 'a' ? [] : [...framed, ...framedToo, ...foreign]),
        ...(form === 'b' ? [] : [...payloads, 'ts_mismatch']),
      ].sort(),
    );
  });
}
