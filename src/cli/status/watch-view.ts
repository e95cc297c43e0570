import { countText } from '../format.ts';
import { type Terminal, wrap } from '../terminal.ts';
import { type StreamTotal, totalOf } from './total.ts';
import { factLines, findingLines, labelWidth, lastWord, type Status } from './view.ts';

/** Samples kept for the graphs. */
export const graphSamples = 60;

const bars = '▁▂▃▄▅▆▇█';
/** For the newest value and the highest one, to the right of a graph. */
const valueWidth = 32;

/** The newest status, and graphs of the last ones; oldest first. No line is wider than the terminal. */
export function renderWatch(statuses: readonly Status[], terminal: Terminal): string[] {
  const newest = statuses.at(-1);
  if (newest === undefined) return [];
  const at = new Date(newest.sample.atMs).toISOString().slice(0, 19).replace('T', ' ');
  const { columns, rows } = terminal;
  const fitted = (line: string) => wrap(line, columns, labelWidth);
  const lines = [
    ...fitted(`processor  ${at} UTC`),
    ...findingLines(newest, terminal),
    ...lastWord(newest, terminal),
    '',
    ...graphLines(statuses, columns).flatMap(fitted),
    '',
    ...factLines(newest).flatMap(fitted),
  ];
  if (rows === null || lines.length <= rows) return lines;
  // What explains the exit code stands at the top; a screen cannot show more than its rows.
  const hidden = lines.length - rows + 1;
  return [...lines.slice(0, rows - 1), ...wrap(`${hidden} more lines`, columns, 0).slice(0, 1)];
}

interface Graph {
  readonly name: string;
  readonly unit: string;
  readonly values: readonly (number | null)[];
}

function graphLines(statuses: readonly Status[], columns: number | null): string[] {
  const width = Math.max(0, Math.min(graphSamples, (columns ?? 100) - labelWidth - valueWidth));
  return graphsOf(statuses).map(({ name, values, unit }) => {
    const last = values.at(-1) ?? null;
    const shown = last === null ? '-' : `${countText(last)}${unit}`;
    const top = Math.max(0, ...values.slice(-Math.max(1, width)).map((value) => value ?? 0));
    return `${name.padEnd(labelWidth)}${graph(values, width).padEnd(width)}  ${shown}, full bar ${countText(top)}${unit}`;
  });
}

function graphsOf(statuses: readonly Status[]): Graph[] {
  const totals = statuses.map(({ sample }) => totalOf(sample));
  const ofStream = (pick: (total: StreamTotal) => number | null) =>
    totals.map((total) => (total === null ? null : pick(total)));
  const hasInstances = statuses.some(({ sample }) => sample.instances.length > 0);
  return [
    { name: 'lag', unit: '', values: ofStream(({ backlog }) => backlog.lag) },
    { name: 'pending', unit: '', values: ofStream(({ pending }) => pending) },
    { name: 'added', unit: '/s', values: statuses.map(({ rates }) => rates.added) },
    { name: 'delivered', unit: '/s', values: statuses.map(({ rates }) => rates.delivered) },
    ...(hasInstances
      ? [{ name: 'records', unit: '/s', values: statuses.map(({ rates }) => rates.records) }]
      : []),
    { name: 'dead letters', unit: '', values: ofStream(({ backlog }) => backlog.deadLetters) },
  ];
}

/** The newest `width` values, from 0 to the highest of them; a gap where nothing is known. */
export function graph(values: readonly (number | null)[], width: number): string {
  const shown = width <= 0 ? [] : values.slice(-width);
  const finite = shown.map((value) =>
    value === null || !Number.isFinite(value) ? null : Math.max(0, value),
  );
  const top = Math.max(0, ...finite.map((value) => value ?? 0));
  return finite
    .map((value) => {
      if (value === null) return ' ';
      const step = top === 0 ? 0 : Math.round((value / top) * (bars.length - 1));
      return bars[step] ?? ' ';
    })
    .join('');
}
