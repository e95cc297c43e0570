import type { BenchResult } from './main.ts';
import { type Bound, bounds } from './server-use.ts';

const names: Readonly<Record<Bound, string>> = {
  running: "the server's CPU",
  wal: 'WAL',
  disk: 'the disk',
  lock: 'locks',
  client: 'the client',
};

const floors = [
  ['COPY, rows of payload entries', 'floor'],
  ['idempotent, rows of payload entries', 'idempotent'],
  ['idempotent, rows of frame entries ×10', 'idempotent_formB10'],
] as const;

/** What the floors are, and what bounds each of them. */
export function floorLines(result: BenchResult): string[] {
  return [
    'Two floors, each on two connections, without Redis and without decoding. The COPY floor is COPY BINARY of rows that are encoded already, straight into the same table: no outcome for each row. The idempotent floor is the service’s own statement with parameters that are encoded already: the limit of any worker whose writes are idempotent and that knows the outcome of each row.',
    '',
    '| floor | records/s | server CPU a record | WAL a record | its backends | bounded by |',
    '|---|---|---|---|---|---|',
    ...floors.map(([text, name]) => floorLine(result, text, name)),
    '',
  ];
}

function floorLine(result: BenchResult, text: string, name: string): string {
  const value = (suffix: string) => result.figures[`${name}${suffix}`]?.median;
  const shares = bounds.map((bound) => [bound, value(`_${bound}_share`) ?? 0] as const);
  const largest = shares.toSorted((a, b) => b[1] - a[1])[0];
  const isKnown = largest !== undefined && largest[1] > 0;
  const cells = [
    value('') ?? 'not measured',
    unit(value('_server_cpu_us'), 'µs'),
    unit(value('_wal_bytes'), 'bytes'),
    isKnown ? shares.map(([bound, share]) => `${bound} ${percent(share)}`).join(', ') : '–',
    isKnown ? names[largest[0]] : '–',
  ];
  return `| ${text} | ${cells.join(' | ')} |`;
}

const unit = (value: number | undefined, name: string) =>
  value === undefined ? '–' : `${value} ${name}`;
const percent = (share: number) => `${Math.round(share * 100)} %`;
