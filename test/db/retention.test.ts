import { describe, expect, test } from 'vitest';
import { applyRetention, planRetention } from '../../src/db/retention.ts';
import { freshDatabase, hasTimescaledb } from '../setup/database.ts';
import { connect, migratedDatabase } from './positions.ts';
import { ages, filled, never, retentionMs, sizeOf } from './retention-subject.ts';

// What takes one connection is in test/hypertable/retention.test.ts.
describe('retention by our own command, beside other connections', () => {
  test('one run at a time', async () => {
    const { client, url } = await filled(freshDatabase);
    const other = await connect(url);
    await other.query('SELECT pg_advisory_lock($1, $2)', [0x70726f63, 2]);
    const plan = await planRetention(client, retentionMs);

    expect(await applyRetention(client, plan, never)).toBeNull();
    expect(await ages(client)).toMatchObject({ rows: 250 });
    await other.query('SELECT pg_advisory_unlock_all()');
    expect(await applyRetention(client, plan, never)).toBeGreaterThan(0);
  });

  test('a reader in the way is waited for', async ({ skip }) => {
    if (!hasTimescaledb()) skip('a plain table is not locked');
    const { client, url } = await filled(freshDatabase);
    await client.query("SET lock_timeout = '100ms'");
    const reader = await connect(url);
    await reader.query('BEGIN; SELECT count(*) FROM public.positions');
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
    `INSERT INTO public.positions (device_id, ts, altitude, angle, speed, satellites, priority, fix, codec,
                            attributes)
     SELECT '350000000000001', now() - (n % 200) * interval '1 day' - n * interval '1 ms', 0, 0, 0, 0,
            0, false, '8', jsonb_build_object('1', repeat('x', 1000))
       FROM generate_series(1, 20000) AS n`,
  );
  const plan = await planRetention(client, retentionMs);
  const { rows } = await client.query<{ old: number }>(
    'SELECT count(*)::int AS old FROM public.positions WHERE ts < $1',
    [plan.cutoff],
  );

  expect(plan).toMatchObject({ kind: 'rows' });
  expect(plan.kind === 'rows' ? plan.pages : 0).toBeGreaterThan(2048);
  expect(await sizeOf(client, plan)).toBe(rows[0]?.old);
  expect(await applyRetention(client, plan, never)).toBe(rows[0]?.old);
});
