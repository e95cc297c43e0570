import { describe, expect, test } from 'vitest';
import { createDomainStore } from '../../src/db/domain-store.ts';
import { freshDatabase } from '../setup/database.ts';
import { on, outbox, type Subject, subject } from './domain-subject.ts';
import { deviceId, openPool, position } from './positions.ts';

async function queue() {
  const made: Subject = await subject(freshDatabase);
  await made.configure(on);
  const store = createDomainStore(openPool(made.url), { minSatellites: 4 });
  return { ...made, queue: store };
}

describe('the queue of the domain', () => {
  test('is sampled: rows up to the limit, age, parked devices, pause', async () => {
    const { client, store, queue: domain } = await queue();
    expect(await domain.sample(10)).toEqual({
      rows: 0,
      oldestMs: 0,
      parkedDevices: 0,
      isPaused: false,
    });
    await store([1, 2, 3].map((number) => position({ deviceId: deviceId(number) })));
    await client.query(`UPDATE positions.outbox SET enqueued_at = enqueued_at - interval '1 hour'`);
    await client.query(`INSERT INTO positions.domain_pause (by_whom, reason) VALUES ('x', 'y')`);
    expect(await domain.park(deviceId(1), 5, 'an error')).toBe(true);

    const sample = await domain.sample(10);
    expect(sample).toMatchObject({ rows: 2, parkedDevices: 1, isPaused: true });
    expect(sample.oldestMs).toBeGreaterThanOrEqual(3_600_000);
    expect(await domain.sample(1)).toMatchObject({ rows: 1 });
  });

  test('is compacted to one range a device', async () => {
    const { client, store, queue: domain } = await queue();
    const { ts } = position();
    for (const offset of [0, 1_000, 2_000]) await store([position({ ts: ts + offset })]);
    expect(await domain.compact()).toEqual({ before: 3, after: 1 });
    expect(await outbox(client)).toMatchObject([{ from: ts, to: ts + 2_000 }]);
  });

  test('counts the devices without an assignment', async () => {
    const { client, store, queue: domain } = await queue();
    await store([1, 2].map((number) => position({ deviceId: deviceId(number) })));
    expect(await domain.countUnknown()).toBe(2);
    await client.query(
      `INSERT INTO positions.domain_seen (kind, key, hash, imei) VALUES ('assignment', 'a', '\\x01', $1)`,
      [deviceId(2)],
    );
    expect(await domain.countUnknown()).toBe(1);
  });
});
