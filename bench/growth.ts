import pg from 'pg';
import type { Figures } from './figures.ts';
import { makeLoad } from './rows.ts';
import { runService } from './service.ts';
import type { Stand } from './stand.ts';

const dayMs = 86_400_000;
const dayCounts = [1, 7, 30] as const;
const ioCounts = [1, 16, 64] as const;
const coldDevices = 100_000;
const inPipeline = 1000;

/**
 * What grows beside devices and batches: chunks in a batch, IO values a record, cold devices. Counts of
 * chunks take turns, for the machine's speed moves by more than they differ.
 */
export async function growthCases(
  stand: Stand,
  { rounds, records, baseTime }: { rounds: number; records: number; baseTime: number },
  figures: Figures,
): Promise<void> {
  for (const days of Array.from({ length: rounds }, () => dayCounts).flat()) {
    const entry = (index: number) => entryOf(index, baseTime - (index % days) * dayMs, 16);
    await addAll(stand, records, entry);
    const { recordsPerSecond, cpuMicros } = await run(stand, records);
    figures.note(`chunks_${days}`, recordsPerSecond);
    figures.note(`chunks_${days}_cpu_us`, cpuMicros);
  }
  for (const values of ioCounts) {
    await addAll(stand, records, (index) => entryOf(index, baseTime, values));
    const { recordsPerSecond, cpuMicros } = await run(stand, records);
    figures.note(`io_values_${values}`, recordsPerSecond);
    figures.note(`io_values_${values}_cpu_us`, cpuMicros);
  }
  await coldCase(stand, baseTime, figures);
  if (stand.timescaledb !== null) {
    await compressedCase(stand, { rounds, records, baseTime }, figures);
  }
}

async function run(stand: Stand, records: number) {
  const env = { REDIS_URL: stand.redisUrl, POSTGRES_URL: await stand.freshTable() };
  return runService(stand.redis, env, { records });
}

/** A service that knows none of the devices, all of which have rows. */
async function coldCase(stand: Stand, baseTime: number, figures: Figures): Promise<void> {
  const env = { REDIS_URL: stand.redisUrl, POSTGRES_URL: await stand.freshTable() };
  for (const [round, name] of ['cold_absent', 'cold_rehydrated'].entries()) {
    const entry = (index: number) => entryOf(index, baseTime + round * 60_000, 16, coldDevices);
    await addAll(stand, coldDevices, entry);
    // Each device is cold once only: nothing of it is left out.
    const cold = { records: coldDevices, warmUp: 0 };
    const { recordsPerSecond } = await runService(stand.redis, env, cold);
    figures.note(`${name}_100000_devices`, recordsPerSecond);
  }
}

/**
 * Records sent again into chunks that are compressed, by turns with new ones, and at the end late
 * records into compressed chunks.
 */
async function compressedCase(
  stand: Stand,
  { rounds, records, baseTime }: { rounds: number; records: number; baseTime: number },
  figures: Figures,
): Promise<void> {
  const old = baseTime - 30 * dayMs;
  const url = await stand.freshTable({ columnstoreAfterMs: 10 * dayMs });
  const env = {
    REDIS_URL: stand.redisUrl,
    POSTGRES_URL: url,
    LATE_HORIZON: '7d',
    COLUMNSTORE_AFTER: '10d',
  };
  const stored = makeLoad('a', 1, records, old);
  await stand.fill(stored);
  await runService(stand.redis, env, { records: stored.rows.length });
  await compressAll(url);
  for (let round = 1; round <= rounds; round += 1) {
    await stand.fill(stored);
    const again = { records: stored.rows.length, outcome: 'duplicate' } as const;
    const repeated = await runService(stand.redis, env, again);
    figures.note('compressed_duplicates', repeated.recordsPerSecond);
    // Other milliseconds are other rows, in a chunk of today that is not compressed.
    const fresh = makeLoad('a', 1, records, baseTime - round * 7);
    await stand.fill(fresh);
    const inserted = await runService(stand.redis, env, { records: fresh.rows.length });
    figures.note('compressed_fresh', inserted.recordsPerSecond);
  }
  const late = makeLoad('a', 1, records, old + 137);
  await stand.fill(late);
  const inserted = await runService(stand.redis, env, { records: late.rows.length });
  figures.note('compressed_late_inserts', inserted.recordsPerSecond);
}

async function compressAll(url: string): Promise<void> {
  const client = new pg.Client(url);
  await client.connect();
  try {
    const { rows } = await client.query<{ name: string }>(
      "SELECT c::text AS name FROM public.show_chunks('public.positions') AS c",
    );
    for (const { name } of rows)
      await client.query(`CALL public.convert_to_columnstore('${name}')`);
  } finally {
    await client.end();
  }
}

/** Form A, one record: 500 devices a second apart, with so many IO values. */
function entryOf(index: number, baseMs: number, ioValues: number, devices = 500): string[] {
  const device_id = String(350_000_000_000_000 + (index % devices));
  const timestamp = new Date(baseMs - Math.floor(index / devices) * 1000).toISOString();
  const attributes: Record<string, number> = {};
  for (let id = 1; id <= ioValues; id += 1) attributes[String(id)] = (index * id) % 65_536;
  const position = { latitude: 54.6872, longitude: 25.2797, altitude: 112, angle: 90, speed: 40 };
  const rest = { satellites: 11, priority: 0, event_io_id: 0, attributes };
  const payload = JSON.stringify({ device_id, timestamp, ...position, ...rest });
  return ['device_id', device_id, 'ts', timestamp, 'codec', '8E', 'payload', payload];
}

async function addAll(
  stand: Stand,
  records: number,
  entry: (index: number) => string[],
): Promise<void> {
  await stand.redis.flushall();
  for (let from = 0; from < records; from += inPipeline) {
    const entries = Array.from({ length: Math.min(inPipeline, records - from) }, (_, at) =>
      entry(from + at),
    );
    await stand.add({ entries, rows: [], sha256: '' }, 0, entries.length);
  }
}
