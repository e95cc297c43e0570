import type { Client } from 'pg';
import { describe, expect, test } from 'vitest';
import { freshDatabase } from '../setup/database.ts';
import { describeEachTable } from '../setup/hypertable.ts';
import { insertOne, off, on, outbox, subject } from './domain-subject.ts';
import { connect, dayMs, deviceId, position } from './positions.ts';

const now = Date.now();

describeEachTable('DOMAIN', (fresh, kind) => {
  test('off, the default, leaves positions without the trigger', async () => {
    const { client, configure, store } = await subject(fresh);
    await store([position({ ts: now })]);

    expect(await configure(off)).toBe(false);
    expect(await outbox(client)).toEqual([]);
  });

  test('on enqueues each device with records within the horizon, from its start on', async () => {
    const { client, configure, store } = await subject(fresh);
    await store([
      position({ deviceId: deviceId(1), ts: now }),
      position({ deviceId: deviceId(2), ts: now - 29 * dayMs }),
      position({ deviceId: deviceId(3), ts: now - 40 * dayMs }),
    ]);

    expect(await configure(on)).toBe(true);

    const rows = await outbox(client);
    expect(rows.map(({ device_id, to }) => [device_id, to]).sort()).toEqual([
      [deviceId(1), Number.POSITIVE_INFINITY],
      [deviceId(2), Number.POSITIVE_INFINITY],
    ]);
    for (const { from } of rows)
      expect(Math.abs(from - (Date.now() - 30 * dayMs))).toBeLessThan(dayMs);
  });

  test('on again changes nothing', async () => {
    const { client, configure, store } = await subject(fresh);
    await store([position({ ts: now })]);
    await configure(on);
    const before = await outbox(client);

    expect(await configure(on)).toBe(true);
    expect(await outbox(client)).toEqual(before);
  });

  test('off removes the trigger and empties what belongs to it, and on starts again', async () => {
    const { client, configure, store } = await subject(fresh);
    await configure(on);
    await store([position({ ts: now })]);
    await client.query(`
      INSERT INTO positions.outbox_parked VALUES ('350000000000001', now(), now(), 5, 'x');
      INSERT INTO positions.domain_seen (kind, key, hash) VALUES ('geofence', 'a', '\\x00');
      UPDATE positions.domain_version SET version = 7`);

    expect(await configure(off)).toBe(false);

    const kept = await client.query(
      `SELECT (SELECT count(*)::int FROM positions.outbox) AS outbox,
              (SELECT count(*)::int FROM positions.outbox_parked) AS parked,
              (SELECT count(*)::int FROM positions.domain_seen) AS seen,
              (SELECT version::int FROM positions.domain_version) AS version`,
    );
    expect(kept.rows).toEqual([{ outbox: 0, parked: 0, seen: 0, version: 7 }]);
    expect(await configure(on)).toBe(true);
    expect(await outbox(client)).toHaveLength(1);
  });

  test.each(['verify', 'off'] as const)('is left as it is with MIGRATIONS=%s', async (mode) => {
    const { client, configure, store } = await subject(fresh);
    await store([position({ ts: now })]);

    expect(await configure(on, { mode })).toBe(false);
    expect(await outbox(client)).toEqual([]);
    await configure(on);
    expect(await configure(off, { mode })).toBe(true);
    expect(await outbox(client)).toHaveLength(1);
  });

  const otherFunction = `DROP TRIGGER note_outbox ON public.positions;
    CREATE TRIGGER note_outbox AFTER INSERT ON public.positions REFERENCING NEW TABLE AS new_rows
      FOR EACH STATEMENT EXECUTE FUNCTION positions.note_devices()`;
  // TimescaleDB refuses to disable a trigger of a hypertable.
  const disable = 'ALTER TABLE public.positions DISABLE TRIGGER note_outbox';
  const changes = kind === 'hypertable' ? [otherFunction] : [otherFunction, disable];

  test('on recreates a trigger that somebody changed, and enqueues what it missed', async () => {
    const { client, configure, store } = await subject(fresh);
    await configure(on);
    for (const [index, change] of changes.entries()) {
      await client.query(change);
      await client.query('TRUNCATE positions.outbox');
      await store([position({ ts: now + index })]);
      expect(await outbox(client)).toEqual([]);
      expect(await configure(on, { mode: 'verify' })).toBe(false);

      expect(await configure(on)).toBe(true);
      expect(await outbox(client)).toHaveLength(1);
    }
  });
});

describe('DOMAIN with several connections', () => {
  test.each([on, off])('set as it is already waits for no reader or writer: %j', async (domain) => {
    const { url, configure } = await subject(freshDatabase);
    await configure(domain);
    const busy = await connect(url);
    await busy.query(`BEGIN; LOCK TABLE public.positions IN ROW EXCLUSIVE MODE;
                      LOCK TABLE positions.outbox IN ROW EXCLUSIVE MODE`);

    const limits = { lockTimeoutMs: 100, migrationLockTimeoutMs: 100 };
    expect(await configure(domain, limits)).toBe(domain.enabled);
  });

  test('of five instances that switch on at once, one enqueues', async () => {
    const { client, configure, store } = await subject(freshDatabase);
    await store([position({ ts: now })]);

    await Promise.all(Array.from({ length: 5 }, () => configure(on)));

    expect(await outbox(client)).toHaveLength(1);
  });

  test('on waits for a write that began before, and enqueues its records', async () => {
    const { url, client, configure } = await subject(freshDatabase);
    const writer = await connect(url);
    await writer.query('BEGIN');
    await writer.query(insertOne, [deviceId(1), new Date(now)]);

    const switched = configure(on);
    await waitForBlocked(client);
    await writer.query('COMMIT');

    expect(await switched).toBe(true);
    expect(await outbox(client)).toMatchObject([{ device_id: deviceId(1) }]);
  });

  test('off waits for a worker with outbox rows without blocking its read of positions', async () => {
    const { url, client, configure, store } = await subject(freshDatabase);
    await configure(on);
    await store([position({ ts: now })]);
    const worker = await connect(url);
    await worker.query("SET lock_timeout = '100ms'; BEGIN; DELETE FROM positions.outbox");

    const switched = configure(off);
    await waitForBlocked(client);
    await worker.query('SELECT count(*) FROM public.positions; COMMIT');

    expect(await switched).toBe(false);
    expect(await outbox(client)).toEqual([]);
  });

  test('off costs an insert nothing: PostgreSQL runs no trigger for it', async () => {
    const { client, configure } = await subject(freshDatabase);
    await configure(on);
    expect(await triggersOf(client, insertOne, 1)).toEqual(['note_devices', 'note_outbox']);

    await configure(off);
    expect(await triggersOf(client, insertOne, 2)).toEqual(['note_devices']);
  });
});

/** Waits until a session of this database waits for the lock of a table. */
async function waitForBlocked(client: Client): Promise<void> {
  const count = async () => {
    const { rows } = await client.query(
      `SELECT FROM pg_locks WHERE NOT granted AND locktype = 'relation'
          AND database = (SELECT oid FROM pg_database WHERE datname = current_database())`,
    );
    return rows.length;
  };
  await expect.poll(count, { timeout: 60_000, interval: 20 }).toBeGreaterThan(0);
}

interface Explained {
  readonly 'QUERY PLAN': readonly [
    { readonly Triggers: readonly { readonly 'Trigger Name': string }[] },
  ];
}

/** The triggers that PostgreSQL ran for a statement. */
async function triggersOf(client: Client, statement: string, device: number): Promise<string[]> {
  const { rows } = await client.query<Explained>(`EXPLAIN (ANALYZE, FORMAT JSON) ${statement}`, [
    deviceId(device),
    new Date(now),
  ]);
  return rows.flatMap((row) =>
    row['QUERY PLAN'][0].Triggers.map((trigger) => trigger['Trigger Name']),
  );
}
