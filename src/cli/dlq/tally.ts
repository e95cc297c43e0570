import type { Malformed, StoredDeadLetter } from '../../stream/stored-dead-letters.ts';
import { ageText, countText } from '../format.ts';
import { table } from '../table.ts';
import { deviceOf } from './filter.ts';

/** Maximum of devices that are counted separately. */
const maxDevices = 10_000;
const topDevices = 10;

export interface Tally {
  readonly letters: number;
  /** Rejected records; `by_reason` and `by_stage` count these. */
  readonly records: number;
  readonly by_reason: Readonly<Record<string, number>>;
  readonly by_stage: Readonly<Record<string, number>>;
  readonly devices: readonly { readonly device: string; readonly letters: number }[];
  readonly oldest: string | null;
  readonly newest: string | null;
}

/** Counts dead letters and their records as they are read, newest first. */
export function createTally(): {
  add(deadLetter: StoredDeadLetter | Malformed): void;
  result(): Tally;
} {
  const byReason = new Map<string, number>();
  const byStage = new Map<string, number>();
  const byDevice = new Map<string, number>();
  let letters = 0;
  let records = 0;
  let oldest: string | null = null;
  let newest: string | null = null;
  const count = (counts: Map<string, number>, name: string, by = 1) =>
    counts.set(name, (counts.get(name) ?? 0) + by);
  return {
    add(deadLetter) {
      letters += 1;
      newest ??= deadLetter.id;
      oldest = deadLetter.id;
      if (deadLetter.kind === 'malformed') {
        count(byReason, 'malformed');
        return;
      }
      records += deadLetter.records;
      for (const { reason, stage, count: found } of deadLetter.rejections) {
        count(byReason, reason, found);
        count(byStage, stage, found);
      }
      const device = deviceOf(deadLetter) ?? 'unknown';
      if (byDevice.has(device) || byDevice.size < maxDevices) count(byDevice, device);
    },
    result() {
      const devices = sorted(byDevice)
        .slice(0, topDevices)
        .map(([device, found]) => ({ device, letters: found }));
      return {
        letters,
        records,
        oldest,
        newest,
        devices,
        by_reason: Object.fromEntries(sorted(byReason)),
        by_stage: Object.fromEntries(sorted(byStage)),
      };
    },
  };
}

function sorted(counts: ReadonlyMap<string, number>): [string, number][] {
  return [...counts].sort(([, a], [, b]) => b - a);
}

/** The dead-letter stream against its limits; null where no instance has counted yet. */
export interface StreamSize {
  readonly length: number;
  readonly max_entries: number;
  readonly bytes: number | null;
  readonly max_bytes: number;
  /** Dropped by the limits since the stream was created. */
  readonly dropped_entries: number;
  readonly dropped_bytes: number;
}

export function renderTally(tally: Tally & StreamSize, nowMs: number): string {
  const { letters, records, length, oldest, newest } = tally;
  const age = (id: string | null) => (id === null ? '-' : ageText(id, nowMs));
  const facts = [
    ['dead letters', `${countText(letters)} counted of ${countText(length)}`],
    ['records', countText(records)],
    ['entries', shareText(length, tally.max_entries, 'DEAD_LETTER_MAX_ENTRIES')],
    [
      'bytes',
      tally.bytes === null
        ? 'not counted: no instance has run'
        : shareText(tally.bytes, tally.max_bytes, 'DEAD_LETTER_STREAM_MAX_BYTES'),
    ],
    [
      'dropped',
      `${countText(tally.dropped_entries)} (${countText(tally.dropped_bytes)} bytes) by these limits`,
    ],
    ['newest', `${age(newest)} ago`],
    ['oldest', `${age(oldest)} ago`],
  ];
  const counts = (counted: Readonly<Record<string, number>>) =>
    Object.entries(counted).map(([name, found]) => [`  ${name}`, countText(found)]);
  const devices = tally.devices.map(({ device, letters: found }) => [
    `  ${device}`,
    countText(found),
  ]);
  const parts = [
    table(facts),
    `records by reason\n${table(counts(tally.by_reason))}`,
    `records by stage\n${table(counts(tally.by_stage))}`,
    `devices with the most dead letters\n${table(devices)}`,
  ];
  return letters === 0 ? (parts[0] ?? '') : parts.join('\n');
}

function shareText(used: number, limit: number, variable: string): string {
  const share = Math.round((used / limit) * 100);
  return `${countText(used)}, ${share} % of ${variable} (${countText(limit)})`;
}
