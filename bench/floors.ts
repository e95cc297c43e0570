import { once } from 'node:events';
import type pg from 'pg';
import { from as copyFrom } from 'pg-copy-streams';
import type { Position } from '../src/core/types.ts';
import { openDatabase } from '../src/db/pool.ts';
import {
  columnNames,
  encodePositions,
  insertStatement,
  positionColumns,
} from '../src/db/position-columns.ts';
import { groupByKey } from '../src/db/write-plan.ts';
import { type ServerUse, watchServer } from './server-use.ts';

const rowsPerStatement = 5000;
const connections = 2;
const quiet = { debug() {}, info() {}, warn() {}, error() {} };

/** A floor: records a second, and what the server's backends did meanwhile. */
export interface Floor extends ServerUse {
  readonly recordsPerSecond: number;
}

/** The fastest PostgreSQL can do: COPY BINARY into the table, encoded beforehand, two connections. */
export function copyFloor(url: string, rows: readonly Position[]): Promise<Floor> {
  return floorOf(url, rows, encodeCopy, async (client, part) => {
    const stream = client.query(
      copyFrom(`COPY public.positions (${columnNames}) FROM STDIN (FORMAT binary)`),
    );
    stream.end(part);
    await once(stream, 'finish');
  });
}

/**
 * The limit of any worker that keeps rule 3 (idempotent, parameterised, an outcome for each row): the
 * service's own statement in its own sessions, sorted and encoded beforehand, two connections.
 */
export function idempotentFloor(url: string, rows: readonly Position[]): Promise<Floor> {
  return floorOf(url, rows, encodeSorted, async (client, values) => {
    const result = await client.query({ text: insertStatement, values, rowMode: 'array' });
    if (result.rows.length > 0) throw new Error('the table of a floor must be empty');
  });
}

async function floorOf<Part>(
  url: string,
  rows: readonly Position[],
  encode: (rows: readonly Position[]) => Part,
  write: (client: pg.PoolClient, part: Part) => Promise<void>,
): Promise<Floor> {
  const parts: Part[] = [];
  for (let at = 0; at < rows.length; at += rowsPerStatement) {
    parts.push(encode(rows.slice(at, at + rowsPerStatement)));
  }
  const limits = { connectTimeoutMs: 5000, statementTimeoutMs: 600_000, lockTimeoutMs: 10_000 };
  const names = { url, tls: null, applicationName: 'processor:floor', size: connections };
  const database = openDatabase({ ...names, ...limits, deadlineMs: 600_000 }, quiet);
  try {
    const watch = await watchServer(url, names.applicationName);
    const since = performance.now();
    await Promise.all(
      Array.from({ length: connections }, () =>
        database.use(async (client) => {
          await watch.backend(client);
          for (let part = parts.shift(); part !== undefined; part = parts.shift()) {
            await write(client, part);
          }
        }),
      ),
    );
    const seconds = (performance.now() - since) / 1000;
    return { recordsPerSecond: rows.length / seconds, ...(await watch.end(rows.length)) };
  } finally {
    await database.close(1000);
  }
}

/** The parameters of the service's statement, in the order of keys that the service writes in. */
function encodeSorted(rows: readonly Position[]): Buffer[] {
  const sorted = groupByKey(
    rows,
    rows.map(() => null),
  ).flatMap(({ first }) => rows[first] ?? []);
  if (sorted.length !== rows.length) throw new Error('a key twice in one batch of a floor');
  return encodePositions(sorted);
}

function encodeCopy(rows: readonly Position[]): Buffer {
  // Each column's binary array holds every value as length and bytes, as COPY wants them.
  const columns = encodePositions(rows).map((bytes) => ({ bytes, at: 20 }));
  if (columns.length !== positionColumns.length) throw new Error('one array a column expected');
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
