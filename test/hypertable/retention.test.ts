import { expect, test } from 'vitest';
import { applyRetention, planRetention } from '../../src/db/retention.ts';
import { deviceId } from '../db/positions.ts';
import { ages, devices, filled, never, retentionMs, sizeOf } from '../db/retention-subject.ts';
import { describeEachTable } from '../setup/hypertable.ts';

describeEachTable('retention by our own command', (fresh, kind) => {
  test('drops what is wholly older, and nothing younger', async () => {
    const { client } = await filled(fresh);
    const plan = await planRetention(client, retentionMs);
    const size = await sizeOf(client, plan);

    const gone = await applyRetention(client, plan, never);

    expect(plan.kind).toBe(kind === 'hypertable' ? 'chunks' : 'rows');
    expect(gone).toBe(size);
    const left = await ages(client);
    // A chunk stays until all of its ten days are older.
    expect(left.oldest).toBeGreaterThanOrEqual(99);
    expect(left.oldest).toBeLessThanOrEqual(110);
    expect(left.rows).toBe(left.oldest + 1);
    expect(await sizeOf(client, await planRetention(client, retentionMs))).toBe(0);
  });

  test('a plan changes nothing', async () => {
    const { client } = await filled(fresh);
    await sizeOf(client, await planRetention(client, retentionMs));

    expect(await ages(client)).toEqual({ oldest: 199, rows: 250 });
  });

  test('devices without any row left are forgotten, others are not', async () => {
    const { client } = await filled(fresh);
    expect(await devices(client)).toEqual([deviceId(1), deviceId(2)]);

    await applyRetention(client, await planRetention(client, retentionMs), never);

    expect(await devices(client)).toEqual([deviceId(1)]);
  });

  test('interrupted, it stops after whole steps, and the next run continues', async () => {
    const { client } = await filled(fresh);
    const plan = await planRetention(client, retentionMs);
    const interrupted = new AbortController();
    interrupted.abort();

    expect(await applyRetention(client, plan, interrupted.signal)).toBe(0);
    expect(await ages(client)).toMatchObject({ rows: 250 });
    expect(await applyRetention(client, plan, never)).toBeGreaterThan(0);
  });
});
