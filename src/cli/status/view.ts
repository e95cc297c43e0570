import { countText, durationText } from '../format.ts';
import type { Rates } from './derive.ts';
import type { Sample } from './sample.ts';

/** One look and what it tells together with the look before. */
export interface Look {
  readonly sample: Sample;
  readonly rates: Rates;
  readonly attention: readonly string[];
  readonly unreachable: readonly string[];
}

/** Looks kept for the graphs. */
export const graphLooks = 60;

const bars = '▁▂▃▄▅▆▇█';
const labelWidth = 16;

/** The newest look as lines, none wider than `columns`; pure. */
export function renderLook(look: Look, columns: number): string[] {
  const lines = [
    ...streamLines(look),
    ...databaseLines(look.sample),
    ...instanceLines(look.sample),
  ];
  for (const words of look.attention) lines.push(`! ${words}`);
  for (const words of look.unreachable) lines.push(`x ${words}`);
  if (look.attention.length + look.unreachable.length === 0) lines.push('all is well');
  return lines.map((line) => cut(line, columns));
}

/** The newest look, and graphs of the last ones; oldest first. */
export function renderWatch(looks: readonly Look[], columns: number): string[] {
  const newest = looks.at(-1);
  if (newest === undefined) return [];
  const at = new Date(newest.sample.atMs).toISOString().slice(0, 19).replace('T', ' ');
  const graphs = graphsOf(looks).map(({ name, values, unit }) => {
    const last = values.at(-1);
    const shown = last === null || last === undefined ? '-' : `${countText(last)}${unit}`;
    const room = Math.max(0, Math.min(graphLooks, columns - labelWidth - 16));
    return cut(`${name.padEnd(labelWidth)}${graph(values, room).padEnd(room)}  ${shown}`, columns);
  });
  return [cut(`processor  ${at} UTC`, columns), '', ...graphs, '', ...renderLook(newest, columns)];
}

/** One line a look, for a log. */
export function renderLine({ sample, rates, attention, unreachable }: Look): string {
  const at = new Date(sample.atMs).toISOString();
  const words = [...attention, ...unreachable].join('; ');
  if (sample.stream.kind === 'unreachable') return `${at} ${words}`;
  const { backlog } = sample.stream.value;
  const numbers = [
    `lag=${backlog.lag ?? 'unknown'} lag_s=${Math.round((backlog.lagAgeMs ?? 0) / 1000)}`,
    `pending=${backlog.pending} in=${number(rates.added)}/s out=${number(rates.delivered)}/s`,
    `dead_letters=${backlog.deadLetters}`,
  ];
  return `${at} ${numbers.join(' ')}${words === '' ? '' : ` ${words}`}`;
}

function streamLines({ sample, rates }: Look): string[] {
  if (sample.stream.kind === 'unreachable') return [];
  const { backlog, consumers } = sample.stream.value;
  const lag =
    backlog.lag === null ? 'more than can be counted' : `${countText(backlog.lag)} entries`;
  const trimming =
    rates.trimmingReachesMs === null
      ? 'not in sight'
      : `in ${durationText(rates.trimmingReachesMs)}`;
  return [
    fact('stream', `${countText(backlog.length)} entries`),
    fact('lag', `${lag}, oldest ${durationText(backlog.lagAgeMs ?? 0)}`),
    fact(
      'pending',
      `${countText(backlog.pending)}, oldest ${durationText(backlog.pendingOldestMs)}`,
    ),
    ...consumers.map(({ name, pending, idleMs }) =>
      fact(`  ${name}`, `${countText(pending)}, asked ${durationText(idleMs)} ago`),
    ),
    fact('rate', `${number(rates.added)} added/s, ${number(rates.delivered)} delivered/s`),
    fact(
      'dead letters',
      backlog.deadLetters === 0
        ? 'none'
        : `${countText(backlog.deadLetters)}, oldest ${durationText(backlog.deadLetterOldestMs)}`,
    ),
    fact('trimming', `of unread entries ${trimming}`),
  ];
}

function databaseLines({ database }: Sample): string[] {
  if (database.kind === 'unreachable') return [];
  return [fact('database', `answers in ${durationText(database.value.answerMs)}`)];
}

function instanceLines({ instances, atMs }: Sample): string[] {
  return instances.flatMap((answer) => {
    if (answer.kind === 'unreachable') return [];
    const { url, inFlight, residentBytes, rowsPerBatch, breakers, records, lastCommitMs } =
      answer.value;
    const batch = rowsPerBatch === null ? '-' : countText(rowsPerBatch);
    const state = breakers.length === 0 ? 'breakers closed' : breakers.join(', ');
    const commit =
      lastCommitMs === null
        ? 'no commit yet'
        : `commit ${durationText(Math.max(0, atMs - lastCommitMs))} ago`;
    const memory = `${countText(residentBytes / 1e6)} MB`;
    return [
      fact(
        new URL(url).host,
        `${countText(records)} records, ${batch} rows a batch, ${countText(inFlight)} in flight, ${commit}, ${memory}, ${state}`,
      ),
    ];
  });
}

function graphsOf(
  looks: readonly Look[],
): { readonly name: string; readonly unit: string; readonly values: (number | null)[] }[] {
  const ofStream = (
    pick: (value: Extract<Sample['stream'], { kind: 'seen' }>['value']) => number | null,
  ) =>
    looks.map(({ sample }) => (sample.stream.kind === 'seen' ? pick(sample.stream.value) : null));
  const hasInstances = looks.some(({ sample }) => sample.instances.length > 0);
  return [
    { name: 'lag', unit: '', values: ofStream(({ backlog }) => backlog.lag) },
    { name: 'pending', unit: '', values: ofStream(({ backlog }) => backlog.pending) },
    { name: 'added', unit: '/s', values: looks.map(({ rates }) => rates.added) },
    { name: 'delivered', unit: '/s', values: looks.map(({ rates }) => rates.delivered) },
    ...(hasInstances
      ? [{ name: 'records', unit: '/s', values: looks.map(({ rates }) => rates.records) }]
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

function fact(name: string, text: string): string {
  return `${name.padEnd(labelWidth)}${name.length < labelWidth ? '' : ' '}${text}`;
}

function number(value: number | null): string {
  return value === null ? '-' : countText(value);
}

function cut(line: string, columns: number): string {
  return line.length <= columns ? line : line.slice(0, Math.max(0, columns));
}
