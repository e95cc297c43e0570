import type { Client } from 'pg';
import { describe, expect, test } from 'vitest';
import { createPositionWriter } from '../../src/db/position-writer.ts';
import {
  applyRetention,
  countOldRows,
  planRetention,
  type RetentionPlan,
} from '../../src/db/retention.ts';
import { hasTimescaledb } from '../servers/database.ts';
import { connect, dayMs, deviceId, migratedDatabase, position } from './positions.ts';

const retentionMs = 100 * dayMs;
const now = Date.now();
const never = new AbortController().signal;

/** Rows of two devices, one a day; the second device is silent for the last 150 days. */
async function filled(): Promise<{ client: Client; url: string }> {
  const { database, client, url } = await migratedDatabase({ chunkIntervalMs: 10 * dayMs });
  const writer = createPositionWriter(database, {
    chunkIntervalMs: 10 * dayMs,
    maxChunksPerStatement: 48,
  });
  const rows = Array.from({ length: 200 }, (_, age) => [
    position({ ts: now - age * dayMs }),
    ...(age < 150 ? [] : [position({ ts: now - age * dayMs, deviceId: deviceId(2) })]),
  ]).flat();
  await writer.write(
    rows,
    rows.map(() => null),
  );
  return { client, url };
}

async function ages(client: Client): Promise<{ oldest: number; rows: number }> {
  const { rows } = await client.query<{ oldest: Date; rows: number }>(
    'SELECT min(ts) AS oldest, count(*)::int AS rows FROM positions',
  );
  const [found] = rows;
  return {
    oldest: Math.round((now - (found?.oldest.getTime() ?? 0)) / dayMs),
    rows: found?.rows ?? 0,
  };
}

async function devices(client: Client): Promise<unknown[]> {
  const { rows } = await client.query<{ device_id: string }>(
    'SELECT device_id FROM positions.devices ORDER BY 1',
  );
  return rows.map(({ device_id }) => device_id);
}

async function sizeOf(client: Client, plan: RetentionPlan): Promise<number> {
  return plan.kind === 'chunks' ? plan.chunks.length : await countOldRows(client, plan, never);
}

describe('retention by our own command', () => {
  test('drops what is wholly older, and nothing younger', async () => {
    const { client } = await filled();
    const plan = await planRetention(client, retentionMs);
    const size = await sizeOf(client, plan);

    const gone = await applyRetention(client, plan, never);

    expect(plan.kind).toBe(hasTimescaledb() ? 'chunks' : 'rows');
    expect(gone).toBe(size);
    const left = await ages(client);
    // A chunk stays until all of its ten days are older.
    expect(left.oldest).toBeGreaterThanOrEqual(99);
    expect(left.oldest).toBeLessThanOrEqual(110);
    expect(left.rows).toBe(left.oldest + 1);
    expect(await sizeOf(client, await planRetention(client, retentionMs))).toBe(0);
  });

  test('a look changes nothing', async () => {
    const { client } = await filled();
    await sizeOf(client, await planRetention(client, retentionMs));

    expect(await ages(client)).toEqual({ oldest: 199, rows: 250 });
  });

  test('devices without any row left are forgotten, others are not', async () => {
    const { client } = await filled();
    expect(await devices(client)).toEqual([deviceId(1), deviceId(2)]);

    await applyRetention(client, await planRetention(client, retentionMs), never);

    expect(await devices(client)).toEqual([deviceId(1)]);
  });

  test('one run at a time', async () => {
    const { client, url } = await filled();
    const other = await connect(url);
    await other.query('SELECT pg_advisory_lock($1, $2)', [0x70726f63, 2]);
    const plan = await planRetention(client, retentionMs);

    expect(await applyRetention(client, plan, never)).toBeNull();
    expect(await ages(client)).toMatchObject({ rows: 250 });
    await other.query('SELECT pg_advisory_unlock_all()');
    expect(await applyRetention(client, plan, never)).toBeGreaterThan(0);
  });

  test('interrupted, it stops after whole steps, and the next run goes on', async () => {
    const { client } = await filled();
    const plan = await planRetention(client, retentionMs);
    const interrupted = new AbortController();
    interrupted.abort();

    expect(await applyRetention(client, plan, interrupted.signal)).toBe(0);
    expect(await ages(client)).toMatchObject({ rows: 250 });
    expect(await applyRetention(client, plan, never)).toBeGreaterThan(0);
  });

  test('a reader in the way is waited for', async ({ skip }) => {
    if (!hasTimescaledb()) skip('a plain table is not locked');
    const { client, url } = await filled();
    await client.query("SET lock_timeout = '100ms'");
    const reader = await connect(url);
    await reader.query('BEGIN; SELECT count(*) FROM positions');
    const plan = await planRetention(client, retentionMs);
    const applying = applyRetention(client, plan, never);
    const watcher = await connect(url);
    const waits = async () =>
      (await watcher.query("SELECT FROM pg_locks WHERE NOT granted AND locktype = 'relation'"))
        .rowCount;
    while ((await waits()) === 0) await watcher.query('SELECT pg_sleep(0.01)');
    await reader.query('COMMIT');

    expect(await applying).toBeGreaterThan(0);
    expect((await ages(client)).oldest).toBeLessThanOrEqual(110);
  });
});

test('old rows of a plain table are found wherever they lie', async ({ skip }) => {
  if (hasTimescaledb()) skip('the server makes a hypertable');
  const { client } = await migratedDatabase();
  // Several windows of pages, old and new rows mixed in all of them.
  await client.query(
    `INSERT INTO positions (device_id, ts, altitude, angle, speed, satellites, priority, fix, codec,
                            attributes)
     SELECT '350000000000001', now() - (n % 200) * interval '1 day' - n * interval '1 ms', 0, 0, 0, 0,
            0, false, '8', jsonb_build_object('1', repeat('x', 1000))
       FROM generate_series(1, 20000) AS n`,
  );
  const plan = await planRetention(client, retentionMs);
  const { rows } = await client.query<{ old: number }>(
    'SELECT count(*)::int AS old FROM positions WHERE ts < $1',
    [plan.cutoff],
  );

  expect(plan).toMatchObject({ kind: 'rows' });
  expect(plan.kind === 'rows' ? plan.pages : 0).toBeGreaterThan(2048);
  expect(await sizeOf(client, plan)).toBe(rows[0]?.old);
  expect(await applyRetention(client, plan, never)).toBe(rows[0]?.old);
});
