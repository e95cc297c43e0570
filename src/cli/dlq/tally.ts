import type { Letter, Malformed } from '../../stream/letters.ts';
import { ageText, countText } from '../format.ts';
import { table } from '../table.ts';
import { deviceOf } from './filter.ts';

/** Devices counted apart; what comes after is one number. */
const mostDevices = 10_000;
const topDevices = 10;

export interface Tally {
  readonly letters: number;
  readonly by_reason: Readonly<Record<string, number>>;
  readonly by_stage: Readonly<Record<string, number>>;
  readonly devices: readonly { readonly device: string; readonly letters: number }[];
  readonly oldest: string | null;
  readonly newest: string | null;
}

/** Counts letters as they are read, newest first. */
export function createTally(): { add(letter: Letter | Malformed): void; result(): Tally } {
  const byReason = new Map<string, number>();
  const byStage = new Map<string, number>();
  const byDevice = new Map<string, number>();
  let letters = 0;
  let oldest: string | null = null;
  let newest: string | null = null;
  const count = (counts: Map<string, number>, name: string) =>
    counts.set(name, (counts.get(name) ?? 0) + 1);
  return {
    add(letter) {
      letters += 1;
      newest ??= letter.id;
      oldest = letter.id;
      if (letter.kind === 'malformed') {
        count(byReason, 'malformed');
        return;
      }
      count(byReason, letter.reason);
      count(byStage, letter.stage);
      const device = deviceOf(letter) ?? 'unknown';
      if (byDevice.has(device) || byDevice.size < mostDevices) count(byDevice, device);
    },
    result() {
      const devices = sorted(byDevice)
        .slice(0, topDevices)
        .map(([device, found]) => ({ device, letters: found }));
      return {
        ...{ letters, oldest, newest, devices },
        by_reason: Object.fromEntries(sorted(byReason)),
        by_stage: Object.fromEntries(sorted(byStage)),
      };
    },
  };
}

function sorted(counts: ReadonlyMap<string, number>): [string, number][] {
  return [...counts].sort(([, a], [, b]) => b - a);
}

export function renderTally(
  tally: Tally & { readonly length: number; readonly max_entries: number },
  nowMs: number,
): string {
  const { letters, length, max_entries, oldest, newest } = tally;
  const share = Math.round((length / max_entries) * 100);
  const age = (id: string | null) => (id === null ? '-' : ageText(id, nowMs));
  const facts = [
    ['letters', `${countText(letters)} counted of ${countText(length)}`],
    [
      'room',
      `${share} % of DEAD_LETTER_MAX_ENTRIES (${countText(max_entries)}); beyond it the oldest go`,
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
    ...[`by reason\n${table(counts(tally.by_reason))}`],
    ...[`by stage\n${table(counts(tally.by_stage))}`],
    ...[`most letters of a device\n${table(devices)}`],
  ];
  return letters === 0 ? (parts[0] ?? '') : parts.join('\n');
}
