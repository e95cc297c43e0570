import type { Redis } from 'ioredis';
import pg from 'pg';
import { positionColumns } from '../src/db/position-columns.ts';

const names = positionColumns.map(({ name }) => name).join(', ');
interface WorkerEntry {
  readonly id: string;
  readonly values: unknown[];
}

/** The worker a user would write first: one INSERT an entry. */
export function perEntryWorker(redis: Redis, url: string, records: number): Promise<number> {
  return readAndWrite(redis, url, records, 100, async (client, entries) => {
    for (const { values } of entries) await client.query(insertOne, values);
  });
}

/** The same worker grown up: multi-row VALUES, as many rows as one read brings. */
export function valuesWorker(redis: Redis, url: string, records: number): Promise<number> {
  return readAndWrite(redis, url, records, 1000, async (client, entries) => {
    await client.query(
      insertOf(entries.length),
      entries.flatMap(({ values }) => values),
    );
  });
}

/** The statement for one record, with a parameter for each column. */
export const insertOne = insertOf(1);

function insertOf(rows: number): string {
  const width = positionColumns.length;
  const tuples = Array.from({ length: rows }, (_, row) => {
    const placeholders = Array.from(
      { length: width },
      (_, column) => `$${row * width + column + 1}`,
    );
    return `(${placeholders.join(', ')})`;
  });
  return `INSERT INTO public.positions (${names}) VALUES ${tuples.join(', ')} ON CONFLICT (device_id, ts) DO NOTHING`;
}

async function readAndWrite(
  redis: Redis,
  url: string,
  records: number,
  count: number,
  write: (client: pg.Client, entries: readonly WorkerEntry[]) => Promise<void>,
): Promise<number> {
  const client = new pg.Client(url);
  await client.connect();
  await redis.xgroup('CREATE', 'bench', 'bench', '0');
  const since = performance.now();
  for (let done = 0; done < records; ) {
    const reply = await redis.xreadgroup(
      'GROUP',
      'bench',
      'one',
      'COUNT',
      count,
      'STREAMS',
      'bench',
      '>',
    );
    const entries = toEntries(reply);
    if (entries.length === 0) break;
    await write(client, entries);
    await redis.xack('bench', 'bench', ...entries.map(({ id }) => id));
    done += entries.length;
  }
  const seconds = (performance.now() - since) / 1000;
  await client.end();
  return records / seconds;
}

function toEntries(reply: unknown): WorkerEntry[] {
  if (!Array.isArray(reply)) return [];
  const stream: unknown = reply[0];
  if (!Array.isArray(stream) || !Array.isArray(stream[1])) return [];
  return stream[1].map(([id, fields]: [string, string[]]) => ({ id, values: toValues(fields) }));
}

/** The values of a payload entry's record, in the order of the columns. */
export function toValues(fields: readonly string[]): unknown[] {
  const payload = JSON.parse(fields[fields.indexOf('payload') + 1] ?? '{}');
  const codec = fields[fields.indexOf('codec') + 1];
  const fix = payload.satellites > 0 && !(payload.latitude === 0 && payload.longitude === 0);
  return [
    payload.device_id,
    payload.timestamp,
    payload.latitude,
    payload.longitude,
    payload.altitude,
    payload.angle,
    payload.speed,
    payload.satellites,
    payload.priority,
    fix,
    payload.event_io_id ?? null,
    payload.generation_type ?? null,
    codec,
    JSON.stringify(payload.attributes),
  ];
}
