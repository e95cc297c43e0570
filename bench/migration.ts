import pg from 'pg';
import type { DeviceId, Outcomes, Position } from '../src/core/types.ts';
import { type MigrateOptions, migrate, readMigrations } from '../src/db/migrator.ts';
import { openDatabase } from '../src/db/pool.ts';
import { createPositionWriter } from '../src/db/position-writer.ts';
import type { Figures } from './figures.ts';
import type { Stand } from './stand.ts';

const days = 100;
const rowstoreDays = 10;
const devices = 2_000;
const batchRows = 1_000;
const quietMs = 10_000;
const dayMs = 86_400_000;
const start = Date.UTC(2026, 0, 1);
const quiet = { debug() {}, info() {}, warn() {}, error() {} };

/**
 * The newest migration on a table with so many rows in 100 chunks, 90 of them compressed where the
 * server can, while a writer inserts: how long the migration and the longest batch took.
 */
export async function migrationCase(stand: Stand, rows: number, figures: Figures): Promise<void> {
  const migrations = await readMigrations(new URL('../migrations/', import.meta.url));
  const url = await stand.freshTable({ columnstoreAfterMs: 3650 * dayMs }, migrations.slice(0, -1));
  const client = new pg.Client(url);
  await client.connect();
  try {
    await fill(client, rows, stand.timescaledb !== null);
  } finally {
    await client.end();
  }
  const writing = startWriter(url);
  await new Promise((resolve) => setTimeout(resolve, quietMs));
  const before = writing.takeLongest();
  const since = performance.now();
  try {
    const { applied } = await migrate(migrations, optionsOf(url), quiet);
    if (applied.length !== 1) throw new RangeError(`${applied.length} migrations were applied`);
    figures.note('migration_ms', performance.now() - since);
  } finally {
    await writing.stop();
  }
  const during = writing.takeLongest();
  figures.note('migration_rows', rows);
  figures.note('migration_longest_batch_before_ms', before);
  figures.note('migration_longest_batch_during_ms', during);
}

function optionsOf(url: string): MigrateOptions {
  const limits = { connectTimeoutMs: 5000, lockTimeoutMs: 5000, migrationLockTimeoutMs: 60_000 };
  const storage = { timescaledb: 'optional', chunkIntervalMs: dayMs } as const;
  const policies = { columnstoreAfterMs: 3650 * dayMs, retentionMs: null, aggregates: false };
  const domain = { enabled: false, recomputeHorizonMs: 0 };
  return { url, tls: null, mode: 'auto', ...limits, ...storage, ...policies, domain };
}

async function fill(client: pg.Client, rows: number, isHypertable: boolean): Promise<void> {
  const each = Math.ceil(rows / days / devices);
  for (let day = 0; day < days; day += 1) {
    await client.query(
      `INSERT INTO public.positions (device_id, ts, latitude, longitude, altitude, angle, speed,
         satellites, priority, fix, codec, attributes)
       SELECT (350000000000000 + device)::text,
              to_timestamp($1::float8 / 1000) + at * interval '1 day' / ${each},
              54, 25, 100, 90, at % 100, 9, 0, true, '8E', '{"239":1,"240":1,"66":13000}'
         FROM generate_series(1, ${devices}) AS device, generate_series(0, ${each - 1}) AS at`,
      [start + day * dayMs],
    );
    if (isHypertable && day < days - rowstoreDays) await compressNewest(client);
    process.stderr.write('.');
  }
}

async function compressNewest(client: pg.Client): Promise<void> {
  const { rows } = await client.query<{ name: string }>(
    `SELECT format('%I.%I', chunk_schema, chunk_name) AS name FROM timescaledb_information.chunks
      WHERE hypertable_name = 'positions' ORDER BY range_start DESC LIMIT 1`,
  );
  await client.query(`CALL public.convert_to_columnstore('${rows[0]?.name}')`);
}

/** Inserts batch after batch, each of new rows in the newest chunks and some in a compressed one. */
function startWriter(url: string) {
  const limits = { connectTimeoutMs: 5000, lockTimeoutMs: 60_000, statementTimeoutMs: 60_000 };
  const options = { tls: null, applicationName: 'processor:bench', size: 1, deadlineMs: 65_000 };
  const database = openDatabase({ url, ...options, ...limits }, quiet);
  const writer = createPositionWriter(database, {
    chunkIntervalMs: dayMs,
    maxChunksPerStatement: 48,
  });
  let isRunning = true;
  let longest = 0;
  const running = (async () => {
    for (let batch = 0; isRunning; batch += 1) {
      const rows = makeBatch(batch);
      const outcomes: Outcomes = rows.map(() => null);
      const since = performance.now();
      await writer.write(rows, outcomes);
      longest = Math.max(longest, performance.now() - since);
      if (outcomes.some((outcome) => outcome !== 'inserted')) throw new RangeError('not inserted');
    }
  })();
  return {
    takeLongest() {
      const taken = longest;
      longest = 0;
      return taken;
    },
    async stop() {
      isRunning = false;
      await running;
      await database.close(5000);
    },
  };
}

function makeBatch(batch: number): Position[] {
  return Array.from({ length: batchRows }, (_, index) => ({
    deviceId: String(350_000_000_000_001 + (index % devices)) as DeviceId,
    // Half a second beside every stored row; one in a hundred in an old chunk.
    ts: start + (index % 100 === 0 ? 20 : days - 1) * dayMs + batch * 1000 + 500,
    latitude: 54,
    longitude: 25,
    altitude: 100,
    angle: 90,
    speed: 50,
    satellites: 9,
    priority: 0,
    fix: true,
    eventIoId: null,
    generationType: null,
    codec: '8E',
    attributes: '{"239":1}',
    recordIndex: 0,
  }));
}
