import { countText, durationText, plural } from '../format.ts';
import { printable } from '../printable.ts';
import { paint, type Terminal, wrap } from '../terminal.ts';
import type { InstanceView } from './instance.ts';
import type { Rates } from './rates.ts';
import type { Sample } from './sample.ts';
import { shardTable } from './shard-table.ts';
import { type StreamTotal, totalOf } from './total.ts';

/** One sample, and what it shows together with the one before. */
export interface Status {
  readonly sample: Sample;
  readonly rates: Rates;
  readonly attention: readonly string[];
  readonly unreachable: readonly string[];
}

export const labelWidth = 16;

/** The status as lines: what explains the exit code first; nothing is cut. */
export function renderStatus(status: Status, terminal: Terminal): string[] {
  return [
    ...findingLines(status, terminal),
    ...factLines(status).flatMap((line) => wrap(line, terminal.columns, labelWidth)),
    ...lastWord(status, terminal),
  ];
}

/** One line a sample, for a log. */
export function renderLine({ sample, rates, attention, unreachable }: Status): string {
  const at = new Date(sample.atMs).toISOString();
  const words = printable([...attention, ...unreachable].join('; '));
  const total = totalOf(sample);
  if (total === null) return `${at} ${words}`;
  const { backlog, pending } = total;
  const { seen, all } = shardCounts(sample);
  const numbers = [
    ...(all === 0 ? [] : [`shards=${seen}/${all}`]),
    `lag=${backlog.lag ?? 'unknown'} lag_s=${backlog.lagAgeMs === null ? 'unknown' : Math.round(backlog.lagAgeMs / 1000)}`,
    `pending=${pending} in=${number(rates.added)}/s out=${number(rates.delivered)}/s`,
    `dead_letters=${backlog.deadLetters}`,
  ];
  return `${at} ${numbers.join(' ')}${words === '' ? '' : ` ${words}`}`;
}

export function findingLines({ attention, unreachable }: Status, terminal: Terminal): string[] {
  const marked = (mark: string, color: 'red' | 'yellow', found: readonly string[]) =>
    found.flatMap((words) => {
      const [first = '', ...more] = wrap(`${mark} ${printable(words)}`, terminal.columns, 2);
      return [`${paint(terminal, color, first.slice(0, 1))}${first.slice(1)}`, ...more];
    });
  return [...marked('x', 'red', unreachable), ...marked('!', 'yellow', attention)];
}

export function factLines(status: Status): string[] {
  return [...streamLines(status), ...databaseLines(status.sample), ...instanceLines(status.sample)];
}

export function lastWord({ sample, attention, unreachable }: Status, terminal: Terminal): string[] {
  const [findings, parts] = [attention.length, unreachable.length];
  const lines = (color: 'red' | 'yellow' | 'green', text: string) =>
    wrap(text, terminal.columns, 0).map((line) => paint(terminal, color, line));
  if (findings + parts === 0) {
    const isEmpty = totalOf(sample)?.backlog.neverWritten ?? false;
    return lines(
      'green',
      isEmpty ? 'no problem found, and no entry to process yet' : 'all is well',
    );
  }
  const words = [
    ...(findings > 0 ? [`${plural(findings, 'line', 'lines')} with !`] : []),
    ...(parts > 0 ? [`${plural(parts, 'part', 'parts')} out of reach (x)`] : []),
  ];
  return lines(parts > 0 ? 'red' : 'yellow', `not well: ${words.join(', ')}`);
}

function streamLines({ sample, rates }: Status): string[] {
  const total = totalOf(sample);
  if (total === null) return [];
  const { backlog, consumers, pending } = total;
  return [
    fact('stream', `${streamText(total)}${ofShards(sample)}`),
    fact('lag', lagText(total)),
    fact('pending', withAge(countText(pending), pending, backlog.pendingOldestMs)),
    ...consumers.map(({ name, pending: held, idleMs }) =>
      fact(`  ${name}`, `${countText(held)}, asked ${durationText(idleMs)} ago`),
    ),
    fact('rate', `${number(rates.added)} added/s, ${number(rates.delivered)} delivered/s`),
    fact(
      'dead letters',
      backlog.deadLetters === 0
        ? 'none'
        : withAge(countText(backlog.deadLetters), backlog.deadLetters, backlog.deadLetterOldestMs),
    ),
    fact(
      'trimming',
      rates.trimmingReachesMs === null
        ? 'does not come nearer to unread entries'
        : `reaches unread entries in ${durationText(rates.trimmingReachesMs)}`,
    ),
    ...shardTable(sample, rates),
  ];
}

/** How many shards answered, of how many; 0 of 0 without shards. */
function shardCounts({ streams }: Sample): { readonly seen: number; readonly all: number } {
  const shards = streams.filter(({ shard }) => shard !== null);
  return { seen: shards.filter(({ stream }) => stream.kind === 'seen').length, all: shards.length };
}

function ofShards(sample: Sample): string {
  const { seen, all } = shardCounts(sample);
  if (all === 0) return '';
  return seen === all ? `, ${plural(all, 'shard', 'shards')}` : `, ${seen} of ${all} shards`;
}

function streamText({ backlog }: StreamTotal): string {
  const entries = plural(backlog.length, 'entry', 'entries');
  return backlog.neverWritten
    ? `${entries}; nothing was ever written to it: is REDIS_TELEMETRY_STREAM the right name?`
    : entries;
}

function lagText({ backlog: { lag, lagAgeMs } }: StreamTotal): string {
  const entries = lag === null ? 'more than can be counted' : plural(lag, 'entry', 'entries');
  return withAge(entries, lag ?? 1, lagAgeMs);
}

function withAge(text: string, count: number, oldestMs: number | null): string {
  const age = oldestMs === null ? 'of unknown age: ids are not timestamps' : durationText(oldestMs);
  return count === 0 ? text : `${text}, oldest ${age}`;
}

function databaseLines({ database }: Sample): string[] {
  if (database.kind !== 'seen') return [];
  return [fact('database', `answers in ${durationText(database.value.answerMs)}`)];
}

function instanceLines({ instances, atMs }: Sample): string[] {
  return instances.flatMap((answer) =>
    answer.kind === 'seen' ? [instanceLine(answer.value, atMs)] : [],
  );
}

/** Readiness and breakers first: they are what matters when a line is long. */
function instanceLine(view: InstanceView, atMs: number): string {
  const { inFlight, residentBytes, rowsPerBatch, breakers, lastCommitMs } = view;
  const commit =
    lastCommitMs === null
      ? 'no commit yet'
      : `last commit ${durationText(Math.max(0, atMs - lastCommitMs))} ago`;
  const words = [
    view.ready.ok ? 'ready' : 'not ready',
    breakers.length === 0 ? 'breakers closed' : `breakers: ${breakers.join(', ')}`,
    commit,
    plural(view.records, 'record', 'records'),
    `${rowsPerBatch === null ? '-' : countText(rowsPerBatch)} rows a batch`,
    `${countText(inFlight)} in flight`,
    `${countText(residentBytes / 1e6)} MB`,
    ...(view.lostEntries > 0 ? [`${countText(view.lostEntries)} lost`] : []),
  ];
  return fact(new URL(view.url).host, words.join(', '));
}

function fact(rawName: string, text: string): string {
  const name = printable(rawName);
  return `${name.padEnd(labelWidth)}${name.length < labelWidth ? '' : ' '}${printable(text)}`;
}

function number(value: number | null): string {
  return value === null ? '-' : countText(value);
}
