import { countText, durationText } from '../format.ts';
import { table } from '../table.ts';
import { type Flow, noFlow, type Rates } from './rates.ts';
import type { Sample } from './sample.ts';
import { type StreamTotal, totalOf } from './total.ts';

const heading = [
  ...['shard', 'entries', 'lag', 'oldest', 'pending', 'oldest'],
  ...['added/s', 'delivered/s', 'dead letters'],
];

/** Each shard and the sum as lines; a shard that did not answer has no numbers. Empty without shards. */
export function shardTable(sample: Sample, rates: Rates): string[] {
  const { streams } = sample;
  if (streams.some(({ shard }) => shard === null)) return [];
  const rows = streams.map((part) => {
    const flow = rates.streams.get(part.shard) ?? noFlow;
    return rowOf(String(part.shard), totalOf({ streams: [part] }), flow);
  });
  return table([heading, ...rows, rowOf('sum', totalOf(sample), rates)]).split('\n');
}

function rowOf(name: string, total: StreamTotal | null, { added, delivered }: Flow): string[] {
  if (total === null) return [name, ...heading.slice(1).map(() => '-')];
  const { backlog, pending } = total;
  return [
    name,
    countText(backlog.length),
    number(backlog.lag),
    age(backlog.lag ?? 1, backlog.lagAgeMs),
    countText(pending),
    age(pending, backlog.pendingOldestMs),
    number(added),
    number(delivered),
    countText(backlog.deadLetters),
  ];
}

function number(value: number | null): string {
  return value === null ? '-' : countText(value);
}

function age(count: number, oldestMs: number | null): string {
  return count === 0 || oldestMs === null ? '-' : durationText(oldestMs);
}
