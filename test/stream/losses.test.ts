import type { Redis } from 'ioredis';
import { describe, expect, test } from 'vitest';
import { DependencyError } from '../../src/core/types.ts';
import { compareIds } from '../../src/stream/entry-id.ts';
import { viewProgress } from '../../src/stream/group-progress.ts';
import { createLossRecord, lossesKeptMs, readLosses } from '../../src/stream/losses.ts';
import { freshStream } from '../setup/database.ts';
import { connect } from './entries.ts';

describe('the record of losses', () => {
  test('adds up what all instances lost, and ends a day after the last loss', async () => {
    const redis = connect();
    const key = `${freshStream().key}:control:lost`;
    const [one, two] = [1000, 2000].map((now) =>
      createLossRecord(
        async () => redis,
        key,
        () => now,
      ),
    );
    expect(await readLosses(redis, key)).toBeNull();
    one?.add('trimmed_undelivered', 5);
    one?.add('trimmed_pending', 2);
    two?.add('trimmed_undelivered', 1);
    for (const record of [one, two, one]) await record?.flush();

    expect(await readLosses(redis, key)).toEqual({
      entries: { trimmed_undelivered: 6, trimmed_pending: 2 },
      lastMs: 2000,
    });
    const leftMs = await redis.pttl(key);
    expect(leftMs).toBeGreaterThan(lossesKeptMs / 2);
    expect(leftMs).toBeLessThanOrEqual(lossesKeptMs);
  });

  test('keeps what Redis did not take for the next attempt, and counts it once', async () => {
    const redis = connect();
    const key = `${freshStream().key}:control:lost`;
    let isDown = true;
    const down = new DependencyError('redis', 'unavailable', 'DOWN', 'down');
    const connected = (): Promise<Redis> =>
      isDown ? Promise.reject(down) : Promise.resolve(redis);
    const record = createLossRecord(connected, key, () => 1);
    record.add('trimmed_pending', 3);
    await expect(record.flush()).rejects.toThrow('down');
    isDown = false;
    record.add('trimmed_pending', 1);
    await record.flush();
    await record.flush();

    expect((await readLosses(redis, key))?.entries.trimmed_pending).toBe(4);
  });
});

describe('how far a group is', () => {
  test('is known before the stream and the group exist', async () => {
    const redis = connect();
    const { key } = freshStream();
    const names = { key, group: 'g' };
    expect(await viewProgress(redis, names, 1000)).toEqual({ kind: 'no_stream' });
    await redis.xadd(key, '5-1', 'n', 'x');
    expect(await viewProgress(redis, names, 1000)).toEqual({ kind: 'no_group' });
    await redis.xgroup('CREATE', key, 'g', '0');

    expect(await viewProgress(redis, names, 1000)).toMatchObject({
      kind: 'there',
      value: { length: 1, firstId: '5-1', lastId: '5-1', deliveredId: '0-0', pending: 0 },
    });
  });

  test('has the pending entries of all consumers, and the longest unclaimed time', async () => {
    const redis = connect();
    const { key } = freshStream();
    await redis.xgroup('CREATE', key, 'g', '0', 'MKSTREAM');
    for (const id of ['1-0', '2-0', '3-0']) await redis.xadd(key, id, 'n', 'x');
    await redis.xreadgroup('GROUP', 'g', 'a', 'COUNT', 2, 'STREAMS', key, '>');
    await redis.xreadgroup('GROUP', 'g', 'b', 'COUNT', 1, 'STREAMS', key, '>');
    await redis.xclaim(key, 'g', 'b', 0, '3-0', 'IDLE', 90_000, 'JUSTID');

    const found = await viewProgress(redis, { key, group: 'g' }, 60_000);
    expect(found).toMatchObject({ value: { pending: 3, oldestPendingId: '1-0', read: null } });
    const unclaimedMs = found.kind === 'there' ? found.value.unclaimedMs : 0;
    expect(unclaimedMs).toBeGreaterThanOrEqual(90_000);
  });

  test('compares ids exactly, also above what a double holds', () => {
    expect(compareIds('9007199254740992-0', '9007199254740993-0')).toBeLessThan(0);
    expect(compareIds('9007199254740993-0', '9007199254740992-0')).toBeGreaterThan(0);
    expect(compareIds('5-18446744073709551614', '5-18446744073709551615')).toBeLessThan(0);
    expect(compareIds('5-1', '5-1')).toBe(0);
  });
});
