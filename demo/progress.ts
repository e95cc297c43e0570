import type { Writable } from 'node:stream';
import type { ServiceMetrics } from './metrics.ts';

export interface ProgressSample {
  /** Records sent so far. */
  readonly sent: number;
  /** Records that will be sent, about. */
  readonly expected: number;
  /** What the demo is doing. */
  readonly phase: string;
  /** null while the service does not answer. */
  readonly metrics: ServiceMetrics | null;
}

export interface Terminal {
  /** Its width now. */
  columns(): number;
}

export interface Progress {
  /** Milliseconds between samples. */
  readonly everyMs: number;
  show(sample: ProgressSample, nowMs: number): void;
  /** Ends the redrawn block, so that what follows stands below it. */
  end(): void;
}

const TERMINAL_EVERY_MS = 250;
const PLAIN_EVERY_MS = 2_000;
const BAR_CELLS = 24;
const SPARK_CELLS = 32;
const sparks = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'] as const;
const CLEAR_LINE = '\u001b[2K';
const UP = '\u001b[1A';

/** Live progress: redrawn in place on a terminal, one plain line every 2 s anywhere else. */
export function createProgress(
  out: Writable,
  terminal: Terminal | null,
  startMs: number,
): Progress {
  const rates: number[] = [];
  let last = { atMs: startMs, settled: 0 };
  let drawn = 0;

  function rateOf(metrics: ServiceMetrics | null, nowMs: number): number {
    const settled = metrics === null ? last.settled : settledOf(metrics);
    const seconds = (nowMs - last.atMs) / 1000;
    const rate = seconds > 0 ? Math.round((settled - last.settled) / seconds) : 0;
    last = { atMs: nowMs, settled };
    rates.push(rate);
    if (rates.length > SPARK_CELLS) rates.shift();
    return rate;
  }

  function draw(lines: readonly string[], columns: number): void {
    const text = lines.map((line) => `\r${CLEAR_LINE}${line.slice(0, columns - 1)}\n`).join('');
    out.write(UP.repeat(drawn) + text);
    drawn = lines.length;
  }

  return {
    everyMs: terminal === null ? PLAIN_EVERY_MS : TERMINAL_EVERY_MS,
    show(sample, nowMs) {
      const rate = rateOf(sample.metrics, nowMs);
      const seconds = ((nowMs - startMs) / 1000).toFixed(1);
      const facts = factsOf(sample);
      if (terminal === null) {
        out.write(`${seconds} s ${sample.phase}: ${rate} records/s, ${facts}\n`);
        return;
      }
      const done = bar(sample.expected === 0 ? 1 : sample.sent / sample.expected);
      const speed = `${thousands(rate).padStart(8)} records/s  ${sparkline(rates)}`;
      draw(
        [`${seconds.padStart(6)} s  ${done}  ${sample.phase}`, speed, facts],
        terminal.columns(),
      );
    },
    end() {
      drawn = 0;
    },
  };
}

function factsOf({ sent, metrics }: ProgressSample): string {
  if (metrics === null) return `sent ${thousands(sent)}, the service does not answer`;
  const { records, lag } = metrics;
  return [
    `sent ${thousands(sent)}`,
    `lag ${lag === null ? 'unknown' : thousands(lag)}`,
    `inserted ${thousands(records.inserted)}`,
    `duplicates ${thousands(records.duplicate)}`,
    `dead letters ${thousands(records.dead_letter)}`,
    `conflicts ${thousands(records.conflict)}`,
  ].join(', ');
}

/** Records that have their outcome. */
function settledOf({ records }: ServiceMetrics): number {
  return Object.values(records).reduce((sum, count) => sum + count, 0);
}

function bar(share: number): string {
  const full = Math.round(Math.min(1, share) * BAR_CELLS);
  return '█'.repeat(full) + '░'.repeat(BAR_CELLS - full);
}

function sparkline(values: readonly number[]): string {
  const most = Math.max(...values, 1);
  return values
    .map((value) => sparks[Math.min(sparks.length - 1, Math.floor((value / most) * sparks.length))])
    .join('');
}

function thousands(value: number): string {
  return String(Math.round(value)).replace(/\B(?=(\d{3})+$)/g, ',');
}
