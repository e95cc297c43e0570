import { readFile } from 'node:fs/promises';
import { Redis } from 'ioredis';
import { Client } from 'pg';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { StoredRow } from '../../src/simulator/ledger-check.ts';
import { createLedgerSource } from '../../src/simulator/ledger-source.ts';
import { type FreshDatabase, freshDatabase, freshStream, redisUrl } from '../setup/database.ts';

const migration = new URL('../../migrations/0001_positions.sql', import.meta.url);
const [first, second, third] = ['001000000000010', '001000000000028', '001000000000036'];

let database: FreshDatabase;
let client: Client;
let redis: Redis;

beforeAll(async () => {
  redis = new Redis(redisUrl(), { protocol: 2 });
  database = await freshDatabase();
  client = new Client({ connectionString: database.url });
  await client.connect();
  await client.query(await readFile(migration, 'utf8'));
});

afterAll(async () => {
  redis.disconnect();
  await client.end();
  await database.drop();
});

async function insert(deviceId: string | undefined, times: string): Promise<void> {
  await client.query(
    `INSERT INTO public.positions (device_id, ts, latitude, longitude, altitude, angle, speed, satellites,
       priority, fix, event_io_id, generation_type, codec, attributes)
     SELECT $1, ts, 54.1234567, -25.5, -2, 1.40625, 50, 7, 1, true, 239, null, '8E',
       '{"78": "18446744073709551615", "16": 9007199254740991}'
     FROM ${times} AS ts`,
    [deviceId],
  );
}

async function all<Item>(pages: AsyncIterable<readonly Item[]>): Promise<Item[]> {
  const items: Item[] = [];
  for await (const page of pages) items.push(...page);
  return items;
}

function sourceWith(deadLetterKey: string, deadLettersAfter: string | null = null) {
  return createLedgerSource({ database: client, redis, deadLetterKey, deadLettersAfter });
}

test('rows are read completely, in order, over many pages, only for the given devices', async () => {
  const span =
    "generate_series('2026-01-01Z', timestamptz '2026-01-01 03:20Z', interval '1 second')";
  await insert(first, span);
  await insert(second, "timestamptz('2026-01-01 00:00:00.123456+00')");
  await insert(third, span);
  const rows = await all(sourceWith('none').rows([first ?? '', second ?? '']));
  expect(rows.length).toBe(12_001 + 1);
  const times = rows.slice(0, -1).map(({ ts }) => ts);
  expect(times).toEqual(times.toSorted((a, b) => a - b));
  expect(new Set(times).size).toBe(12_001);
  expect(rows.at(-1)).toMatchObject({ deviceId: second, ts: Date.UTC(2026, 0, 1) + 123.456 });
  const content: Partial<StoredRow> = {
    latitude: 54.1234567,
    longitude: -25.5,
    altitude: -2,
    angle: 1.40625,
    satellites: 7,
    fix: true,
    eventIoId: 239,
    generationType: null,
    codec: '8E',
    attributes: { 78: '18446744073709551615', 16: 9_007_199_254_740_991 },
  };
  expect(rows[0]).toMatchObject(content);
});

test('dead letters are read completely over many pages, binary fields unchanged, after the given id', async () => {
  const { key } = freshStream();
  const pipeline = redis.pipeline();
  for (let number = 1; number <= 1_100; number += 1) {
    pipeline.call('XADD', key, `${number}-0`, 'f:frame', Buffer.from([0, 0xff, number & 0xff]));
  }
  await pipeline.exec();
  const deadLetters = await all(sourceWith(key).deadLetters());
  expect(deadLetters.map(({ id }) => id)).toEqual(
    Array.from({ length: 1_100 }, (_, at) => `${at + 1}-0`),
  );
  expect(deadLetters[41]?.fields[1]).toEqual(Buffer.from([0, 0xff, 42]));
  expect((await all(sourceWith(key, '1090-0').deadLetters())).length).toBe(10);
  expect(await all(sourceWith(freshStream().key).deadLetters())).toEqual([]);
});
