import { ageText, countText, plural } from '../format.ts';
import { table } from '../table.ts';
import { deviceOf } from './filter.ts';
import { type Found, shown } from './matching.ts';
import { bareId } from './shard-id.ts';

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
  add(found: Found): void;
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
    add(found) {
      const deadLetter = shown(found);
      letters += 1;
      newest ??= deadLetter.id;
      oldest = deadLetter.id;
      if (deadLetter.kind === 'malformed') {
        count(byReason, 'malformed');
        return;
      }
      records += deadLetter.records;
      for (const { reason, stage, count: rejected } of deadLetter.rejections) {
        count(byReason, reason, rejected);
        count(byStage, stage, rejected);
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

/** What one shard holds. */
export interface ShardTally {
  readonly shard: number;
  readonly letters: number;
  readonly length: number;
  readonly bytes: number | null;
  readonly dropped_entries: number;
}

/** @param shards empty without shards */
export function renderTally(
  tally: Tally & StreamSize,
  shards: readonly ShardTally[],
  nowMs: number,
): string {
  const { letters, records, length, oldest, newest } = tally;
  const ofEach = shards.length === 0 ? '' : `, ${plural(shards.length, 'shard', 'shards')}`;
  const age = (id: string | null) => (id === null ? '-' : ageText(bareId(id), nowMs));
  const facts = [
    ['dead letters', `${countText(letters)} counted of ${countText(length)}`],
    ['records', countText(records)],
    ['entries', shareText(length, tally.max_entries, `DEAD_LETTER_MAX_ENTRIES${ofEach}`)],
    [
      'bytes',
      tally.bytes === null
        ? 'not counted: no instance has run'
        : shareText(tally.bytes, tally.max_bytes, `DEAD_LETTER_STREAM_MAX_BYTES${ofEach}`),
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
  const ofShards = shards.length === 0 ? [] : [shardTable(shards)];
  return [...(letters === 0 ? parts.slice(0, 1) : parts), ...ofShards].join('\n');
}

function shardTable(shards: readonly ShardTally[]): string {
  const rows = shards.map(({ shard, letters, length, bytes, dropped_entries }) => [
    String(shard),
    countText(letters),
    countText(length),
    bytes === null ? '-' : countText(bytes),
    countText(dropped_entries),
  ]);
  return table([['SHARD', 'COUNTED', 'DEAD LETTERS', 'BYTES', 'DROPPED'], ...rows]);
}

function shareText(used: number, limit: number, variable: string): string {
  const share = Math.round((used / limit) * 100);
  return `${countText(used)}, ${share} % of ${variable} (${countText(limit)})`;
}
