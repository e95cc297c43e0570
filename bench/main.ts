import { mkdirSync, writeFileSync } from 'node:fs';
import { cpus, totalmem } from 'node:os';
import { Redis } from 'ioredis';
import pg from 'pg';
import { migrate, readMigrations } from '../src/db/migrator.ts';
import { startPostgres, startRedis } from '../test/servers/servers.ts';
import { type Load, makeLoad } from './rows.ts';
import { runService } from './service.ts';
import { copyFloor, perEntryWorker, valuesWorker } from './workers.ts';

// First version: throughput of the service against the floor and two hand-written workers, in
// alternation on the same servers and rows. Stage costs and latency come with phase 4.
const rounds = Number(process.env.BENCH_ROUNDS ?? 3);
const records = Number(process.env.BENCH_RECORDS ?? 100_000);
const perEntryRecords = Math.min(records, 5000);
const quiet = { debug() {}, info() {}, warn() {}, error() {} };

const redisServer = await startRedis({ durability: 'real' });
const postgres = await startPostgres({ durability: 'real', settings: { shared_buffers: '512MB' } });
const redis = new Redis(redisServer.url);
const baseTime = Date.now();
const formA = makeLoad('a', 1, records, baseTime);
const formB10 = makeLoad('b', 10, records, baseTime);

/** A database of its own for each run, migrated: `positions` is empty and its chunks are not made. */
async function freshTable(): Promise<string> {
  const admin = new pg.Client(postgres.url);
  await admin.connect();
  await admin.query('DROP DATABASE IF EXISTS bench WITH (FORCE)');
  await admin.query('CREATE DATABASE bench');
  await admin.query('CHECKPOINT');
  await admin.end();
  const url = new URL(postgres.url);
  url.pathname = '/bench';
  const migrations = await readMigrations(new URL('../migrations/', import.meta.url));
  const limits = { connectTimeoutMs: 5000, lockTimeoutMs: 5000, migrationLockTimeoutMs: 5000 };
  const storage = { timescaledb: 'optional', chunkIntervalMs: 86_400_000 } as const;
  await migrate(migrations, { url: url.href, mode: 'auto', ...limits, ...storage }, quiet);
  return url.href;
}

async function fill(load: Load, count = load.entries.length): Promise<void> {
  await redis.flushall();
  for (let at = 0; at < count; at += 1000) {
    const pipeline = redis.pipeline();
    for (const fields of load.entries.slice(at, Math.min(at + 1000, count))) {
      pipeline.xadd('bench', '*', ...fields);
    }
    await pipeline.exec();
  }
}

type Figures = Record<string, number[]>;

async function round(figures: Figures): Promise<void> {
  const note = (name: string, value: number) => {
    figures[name] = [...(figures[name] ?? []), value];
    process.stderr.write(`${name.padEnd(14)} ${value.toFixed(value < 100 ? 1 : 0)}\n`);
  };
  note('floor', await copyFloor(await freshTable(), formA.rows));
  await fill(formA);
  const env = { REDIS_URL: redisServer.url, POSTGRES_URL: await freshTable() };
  const a = await runService(redis, env, formA.rows.length);
  note('formA', a.recordsPerSecond);
  note('formA_cpu_us', a.cpuMicros);
  await fill(formB10);
  const b = await runService(
    redis,
    { ...env, POSTGRES_URL: await freshTable() },
    formB10.rows.length,
  );
  note('formB10', b.recordsPerSecond);
  note('formB10_cpu_us', b.cpuMicros);
  await fill(formA);
  note('values', await valuesWorker(redis, await freshTable(), formA.rows.length));
  await fill(formA, perEntryRecords);
  note('perEntry', await perEntryWorker(redis, await freshTable(), perEntryRecords));
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[values.length >> 1] ?? Number.NaN;
}

const figures: Figures = {};
try {
  process.stderr.write('warm-up round, not counted\n');
  await round({});
  for (let number = 1; number <= rounds; number += 1) {
    process.stderr.write(`round ${number} of ${rounds}\n`);
    await round(figures);
  }
} finally {
  redis.disconnect();
  await redisServer.stop();
  await postgres.stop();
}

/** Of each round's own pair, so that drift of the machine cancels out. */
function ratio(over: string, under: string): number {
  const pairs = (figures[over] ?? []).map((value, index) => value / (figures[under]?.[index] ?? 0));
  return Number(median(pairs).toFixed(3));
}

const result = {
  at: new Date().toISOString(),
  machine: {
    cpus: cpus().length,
    model: cpus()[0]?.model,
    memoryBytes: totalmem(),
    node: process.versions.node,
  },
  rounds,
  records: { formA: formA.rows.length, formB10: formB10.rows.length, perEntry: perEntryRecords },
  sha256: { formA: formA.sha256, formB10: formB10.sha256 },
  figures,
  medians: Object.fromEntries(
    Object.entries(figures).map(([name, values]) => [name, median(values)]),
  ),
  ratios: {
    formA_floor: ratio('formA', 'floor'),
    formB10_floor: ratio('formB10', 'floor'),
    formA_perEntry: ratio('formA', 'perEntry'),
    formA_values: ratio('formA', 'values'),
  },
};
const text = `${JSON.stringify(result, null, 2)}\n`;
mkdirSync(new URL('results/', import.meta.url), { recursive: true });
writeFileSync(new URL('results/latest.json', import.meta.url), text);
process.stdout.write(text);
