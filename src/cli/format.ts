import { entryTimeMs } from '../stream/entry-id.ts';

/** A duration for people: two units at most, as 45s, 12m, 3h 20m, 5d 2h. */
export function durationText(ms: number): string {
  if (ms < 1000) return `${Math.round(ms)}ms`;
  const seconds = Math.floor(ms / 1000);
  if (seconds < 60) return `${seconds}s`;
  if (seconds < 3600) return two(Math.floor(seconds / 60), 'm', seconds % 60, 's');
  if (seconds < 86_400) {
    return two(Math.floor(seconds / 3600), 'h', Math.floor((seconds % 3600) / 60), 'm');
  }
  return two(Math.floor(seconds / 86_400), 'd', Math.floor((seconds % 86_400) / 3600), 'h');
}

function two(large: number, unit: string, small: number, smallUnit: string): string {
  return small === 0 ? `${large}${unit}` : `${large}${unit} ${small}${smallUnit}`;
}

/** How long ago an entry id was made. */
export function ageText(id: string, nowMs: number): string {
  const ms = entryTimeMs(id, nowMs);
  return ms === null ? '-' : durationText(Math.max(0, nowMs - ms));
}

/** Large numbers with a comma at each thousand, whatever the machine's language. */
export function countText(value: number): string {
  return String(Math.round(value)).replaceAll(/\B(?=(\d{3})+$)/g, ',');
}

/** A count with the word in the right number, as `1 entry` and `1,204 entries`. */
export function plural(count: number, one: string, many: string): string {
  return `${countText(count)} ${Math.round(count) === 1 ? one : many}`;
}

/** A size in bytes for people, as 512 B, 12 kB, 3.4 MB. */
export function bytesText(bytes: number): string {
  const units = ['B', 'kB', 'MB', 'GB', 'TB'];
  let value = bytes;
  let unit = 0;
  for (; value >= 1000 && unit < units.length - 1; unit += 1) value /= 1000;
  const text = unit === 0 || value >= 10 ? String(Math.round(value)) : value.toFixed(1);
  return `${text} ${units[unit]}`;
}

/** Ascending numbers as `0-2,5`. */
export function numbersText(numbers: readonly number[]): string {
  const ranges: [first: number, last: number][] = [];
  for (const number of numbers) {
    const range = ranges.at(-1);
    if (range !== undefined && number === range[1] + 1) range[1] = number;
    else ranges.push([number, number]);
  }
  return ranges.map(([first, last]) => (first === last ? first : `${first}-${last}`)).join(',');
}
