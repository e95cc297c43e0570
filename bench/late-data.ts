/**
 * Late records into compressed chunks, as a share of the rate into fresh ones, through the
 * service's own writer. Needs a TimescaleDB of the Community edition:
 *
 *   POSTGRES_URL=postgres://…/postgres node bench/late-data.ts [rows]
 *
 * Recreates the database processor_late_data and keeps it for inspection.
 */
import pg from 'pg';
import type { Outcomes, Position } from '../src/core/types.ts';
import { migrate, readMigrations } from '../src/db/migrator.ts';
import { openDatabase } from '../src/db/pool.ts';
import { createPositionWriter } from '../src/db/position-writer.ts';
import { isDeviceId } from '../src/teltonika/imei.ts';

const dayMs = 86_400_000;
const days = 10;
const devices = 1000;
const batchRows = 5000;
const rounds = 15;
const first = Date.UTC(2026, 8, 1);
const rows = Number(process.argv[2] ?? 10_000_000);
const perDay = Math.floor(rows / days / devices);
const stepMs = Math.floor(dayMs / perDay);
const quiet = { debug() {}, info() {}, warn() {}, error() {} };

const server = new URL(process.env.POSTGRES_URL ?? '');
const name = 'processor_late_data';
const url = new URL(server);
url.pathname = `/${name}`;

await asked(server.href, [`DROP DATABASE IF EXISTS ${name}`, `CREATE DATABASE ${name}`]);
await migrate(
  await readMigrations(new URL('../migrations/', import.meta.url)),
  {
    url: url.href,
    tls: null,
    mode: 'auto',
    connectTimeoutMs: 5000,
    lockTimeoutMs: 5000,
    migrationLockTimeoutMs: 5000,
    timescaledb: 'required',
    chunkIntervalMs: dayMs,
    columnstoreAfterMs: 3650 * dayMs,
    retentionMs: null,
    aggregates: false,
    domain: { enabled: false, recomputeHorizonMs: 0 },
  },
  quiet,
);
const database = openDatabase(
  {
    url: url.href,
    tls: null,
    applicationName: 'processor:bench',
    size: 1,
    connectTimeoutMs: 5000,
    statementTimeoutMs: 60_000,
    lockTimeoutMs: 10_000,
    deadlineMs: 70_000,
  },
  quiet,
);
const writer = createPositionWriter(database, {
  chunkIntervalMs: dayMs,
  maxChunksPerStatement: 48,
  mayBeCompressed: () => true,
});

/** The record that is stored at this index; `shiftMs` moves it between two stored ones. */
function record(device: number, index: number, shiftMs: number, speed = index % 120): Position {
  const deviceId = String(350_000_000_000_000 + device);
  if (!isDeviceId(deviceId)) throw new RangeError(`no device id: ${deviceId}`);
  const battery = 13_000 + ((index * 7 + device) % 1500);
  return {
    deviceId,
    ts: first + index * stepMs + shiftMs,
    latitude: 54 + Math.sin(index / 500 + device) / 3,
    longitude: 25 + Math.cos(index / 500 + device) / 3,
    altitude: 100 + (index % 40),
    angle: (index * 3) % 360,
    speed,
    satellites: 7 + (index % 8),
    priority: 0,
    fix: true,
    eventIoId: 0,
    generationType: null,
    codec: '8E',
    attributes: `{"239":1,"240":1,"21":${3 + (index % 3)},"200":0,"69":1,"181":${8 + (index % 7)},"182":7,"66":${battery},"67":4011,"68":0,"241":24601,"16":${index * 37},"24":${speed},"1":0}`,
    recordIndex: 0,
  };
}

/** A batch of `many` devices, each with consecutive records. */
function batch(many: number, fromIndex: number, shiftMs: number, speed?: number): Position[] {
  return Array.from({ length: batchRows }, (_, index) => {
    const per = batchRows / many;
    return record(index % many, fromIndex + (Math.floor(index / many) % per), shiftMs, speed);
  });
}

async function timed(positions: readonly Position[]): Promise<{ ms: number; outcomes: Outcomes }> {
  const outcomes: Outcomes = positions.map(() => null);
  const began = performance.now();
  await writer.write(positions, outcomes);
  return { ms: performance.now() - began, outcomes };
}

const total = perDay * days;
for (let from = 0; from < total; from += batchRows / devices) {
  await timed(batch(devices, from, 0));
}
await asked(url.href, [
  "SELECT public.compress_chunk(c) FROM public.show_chunks('public.positions') AS c",
  'VACUUM ANALYZE public.positions',
]);

const afterAll = total + perDay;
let shift = 0;
/** Another millisecond each time, so that no two batches share a key. */
function nextShift(): number {
  shift += 1;
  return shift;
}

const kinds = {
  fresh: (many: number, round: number) => batch(many, afterAll + round * 10_000, nextShift()),
  'late, new': (many: number, round: number) => batch(many, round * 150, nextShift()),
  'late, half stored already': (many: number, round: number) => {
    const moved = nextShift();
    return batch(many, round * 150, 0).map((row, index) =>
      index % 2 === 0 ? row : { ...row, ts: row.ts + moved },
    );
  },
  'late, all stored already': (many: number, round: number) => batch(many, round * 150, 0),
  'late, all in conflict': (many: number, round: number) => batch(many, round * 150, 0, 250),
};

for (const many of [1, 50, 1000]) {
  const times = new Map<string, number[]>(Object.keys(kinds).map((kind) => [kind, []]));
  // Turn and turn about, so that a busy moment of the machine meets all kinds.
  for (let round = 0; round < rounds; round += 1) {
    for (const [kind, make] of Object.entries(kinds)) {
      const { ms, outcomes } = await timed(make(many, round));
      times.get(kind)?.push(ms);
      const wanted = { fresh: 'inserted', 'late, new': 'inserted' }[kind];
      if (wanted !== undefined && outcomes.some((outcome) => outcome !== wanted)) {
        throw new Error(`${kind}: not all ${wanted}`);
      }
    }
  }
  const median = (kind: string) =>
    times.get(kind)?.toSorted((a, b) => a - b)[rounds >> 1] ?? Number.NaN;
  for (const kind of times.keys()) {
    const share = Math.round((median('fresh') / median(kind)) * 100);
    const rate = Math.round((batchRows / median(kind)) * 1000);
    process.stdout.write(
      `${many} devices a batch, ${kind}: ${median(kind).toFixed(0)} ms, ${rate} rows/s, ${share} % of fresh\n`,
    );
  }
}
await database.close(1000);

async function asked(where: string, statements: readonly string[]): Promise<void> {
  const client = new pg.Client(where);
  await client.connect();
  for (const statement of statements) await client.query(statement);
  await client.end();
}
