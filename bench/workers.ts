import { once } from 'node:events';
import type { Redis } from 'ioredis';
import pg from 'pg';
import { from as copyFrom } from 'pg-copy-streams';
import type { Position } from '../src/core/types.ts';
import { positionColumns } from '../src/db/position-columns.ts';

const names = positionColumns.map(({ name }) => name).join(', ');
const rowsPerCopy = 5000;

/** The fastest PostgreSQL can do: COPY BINARY into the table, encoded beforehand, two connections. */
export async function copyFloor(url: string, rows: readonly Position[]): Promise<number> {
  const parts: Buffer[] = [];
  for (let at = 0; at < rows.length; at += rowsPerCopy) {
    parts.push(encodeCopy(rows.slice(at, at + rowsPerCopy)));
  }
  const clients = [new pg.Client(url), new pg.Client(url)];
  await Promise.all(clients.map((client) => client.connect()));
  const since = performance.now();
  await Promise.all(
    clients.map(async (client) => {
      for (let part = parts.shift(); part !== undefined; part = parts.shift()) {
        const stream = client.query(
          copyFrom(`COPY public.positions (${names}) FROM STDIN (FORMAT binary)`),
        );
        stream.end(part);
        await once(stream, 'finish');
      }
    }),
  );
  const seconds = (performance.now() - since) / 1000;
  await Promise.all(clients.map((client) => client.end()));
  return rows.length / seconds;
}

function encodeCopy(rows: readonly Position[]): Buffer {
  // Each column's binary array holds every value as length and bytes, as COPY wants them.
  const columns = positionColumns.map(({ encode }) => ({ bytes: encode(rows), at: 20 }));
  const signature = Buffer.from('PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0', 'latin1');
  const parts: Buffer[] = [signature];
  const count = Buffer.alloc(2);
  count.writeInt16BE(columns.length);
  for (let row = 0; row < rows.length; row += 1) {
    parts.push(count);
    for (const column of columns) {
      const length = Math.max(0, column.bytes.readInt32BE(column.at)) + 4;
      parts.push(column.bytes.subarray(column.at, column.at + length));
      column.at += length;
    }
  }
  parts.push(Buffer.from([0xff, 0xff]));
  return Buffer.concat(parts);
}

interface WorkerEntry {
  readonly id: string;
  readonly values: unknown[];
}

/** The worker a user would write first: one INSERT an entry. */
export function perEntryWorker(redis: Redis, url: string, records: number): Promise<number> {
  return readAndWrite(redis, url, records, 100, async (client, entries) => {
    for (const { values } of entries) await client.query(insertOf(1), values);
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

function toValues(fields: readonly string[]): unknown[] {
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
