import { describe, expect, test } from 'vitest';
import type { EntryId } from '../../src/core/types.ts';
import { createClaimRenewal } from '../../src/stream/claim-renewal.ts';
import { createControl, createSwitches } from '../../src/stream/control.ts';
import { controlKeys } from '../../src/stream/control-keys.ts';
import { createCrashCounts } from '../../src/stream/crash-counts.ts';
import { freshStream } from '../setup/database.ts';
import { connect } from './entries.ts';

function setUp() {
  const { key } = freshStream();
  const redis = connect();
  const connected = () => Promise.resolve(redis);
  const keys = controlKeys(key);
  return {
    redis,
    keys,
    control: createControl(connected, keys),
    switches: createSwitches(connected, keys),
    crashCounts: createCrashCounts(connected, keys),
  };
}

const pause = { by: 'anna', reason: 'planned work', at: '2026-11-21T02:00:00.000Z' };

describe('the kill switch', () => {
  test('is off, on after pause and off after resume, with an audit line for each', async () => {
    const { redis, keys, control, switches } = setUp();
    expect(await control.readPause()).toBeNull();
    expect(await switches.pause(pause)).toBe(true);
    expect(await control.readPause()).toEqual(pause);
    expect(await switches.resume('ben')).toEqual(pause);
    expect(await control.readPause()).toBeNull();

    const audit = await redis.xrange(keys.audit, '-', '+');
    expect(audit.map(([, fields]) => fields)).toEqual([
      ['by', 'anna', 'command', 'pause', 'detail', 'planned work'],
      ['by', 'ben', 'command', 'resume', 'detail', 'paused by anna'],
    ]);
  });

  test('a second pause keeps the first one and adds no audit line', async () => {
    const { redis, keys, control, switches } = setUp();
    await switches.pause(pause);
    expect(await switches.pause({ ...pause, by: 'ben' })).toBe(false);
    expect((await control.readPause())?.by).toBe('anna');
    expect(await redis.xlen(keys.audit)).toBe(1);
  });

  test('resume without a pause changes nothing', async () => {
    const { redis, keys, switches } = setUp();
    expect(await switches.resume('ben')).toBeNull();
    expect(await redis.exists(keys.audit)).toBe(0);
  });

  test.each(['', '1', '{"by":5}', '{'])('a key set by hand to %j pauses too', async (text) => {
    const { redis, keys, control } = setUp();
    await redis.set(keys.paused, text);
    expect(await control.readPause()).toMatchObject({ by: 'unknown' });
  });
});

describe('the name of a consumer', () => {
  test('belongs to an instance after its restart, and stays its own', async () => {
    const { redis, keys, control } = setUp();
    await createControl(() => Promise.resolve(redis), keys).holdName('one');

    expect([await control.holdName('one'), await control.holdName('one')]).toEqual([false, false]);
  });

  test('that two live processes use is reported to both', async () => {
    const { redis, keys, control } = setUp();
    const other = createControl(() => Promise.resolve(redis), keys);
    await control.holdName('one');
    await other.holdName('one');

    expect([await control.holdName('one'), await other.holdName('one')]).toEqual([true, true]);
    expect(await control.holdName('two')).toBe(false);
  });
});

describe('requests to running instances', () => {
  test('come once, in order, and not those from before', async () => {
    const { control, switches } = setUp();
    await switches.request({ command: 'rehydrate', device: '350000000000000' }, 'anna', 'a device');
    expect(await control.readRequests()).toEqual([]);
    await switches.request({ command: 'rehydrate', device: '350000000000001' }, 'anna', 'a device');
    await switches.request({ command: 'rehydrate', device: '350000000000002' }, 'anna', 'a device');

    expect((await control.readRequests()).map(({ device }) => device)).toEqual([
      '350000000000001',
      '350000000000002',
    ]);
    expect(await control.readRequests()).toEqual([]);
  });

  test('reach every instance', async () => {
    const one = setUp();
    const other = createControl(() => Promise.resolve(one.redis), one.keys);
    await one.control.readRequests();
    await other.readRequests();
    await one.switches.request(
      { command: 'rehydrate', device: '350000000000001' },
      'anna',
      'a device',
    );

    expect(await one.control.readRequests()).toHaveLength(1);
    expect(await other.readRequests()).toHaveLength(1);
  });

  test('of an unknown kind are ignored', async () => {
    const { redis, keys, control } = setUp();
    await control.readRequests();
    await redis.xadd(keys.requests, '*', 'command', 'format', 'device', 'all');
    expect(await control.readRequests()).toEqual([]);
  });
});

test('crash counts add up over restarts and are removed when the entry was processed', async () => {
  const { redis, keys, crashCounts } = setUp();
  const id = '1-1' as EntryId;
  expect([await crashCounts.increment(id), await crashCounts.increment(id)]).toEqual([1, 2]);
  expect(await redis.ttl(keys.suspects)).toBeGreaterThan(0);
  await crashCounts.clear(id);
  expect(await crashCounts.increment(id)).toBe(1);
});

describe('claim renewal', () => {
  async function withPending() {
    const { key, group } = freshStream();
    const redis = connect();
    await redis.xgroup('CREATE', key, group, '0', 'MKSTREAM');
    const ids: EntryId[] = [];
    for (let number = 0; number < 3; number += 1) {
      ids.push((await redis.xadd(key, '*', 'n', 'x')) as EntryId);
    }
    await redis.xreadgroup('GROUP', group, 'one', 'COUNT', 10, 'STREAMS', key, '>');
    const pending = async () =>
      (await redis.xpending(key, group, '-', '+', 10)) as [string, string, number, number][];
    const renew = createClaimRenewal(() => Promise.resolve(redis), { key, group, consumer: 'one' });
    return { key, group, redis, ids, pending, renew };
  }

  test('resets the idle time and does not change owner and delivery count', async () => {
    const { ids, pending, renew } = await withPending();
    await new Promise((resolve) => setTimeout(resolve, 60));
    expect(await renew(ids.slice(0, 2))).toBe(2);

    const [first, second, third] = await pending();
    expect(Math.max(first?.[2] ?? 99, second?.[2] ?? 99)).toBeLessThan(third?.[2] ?? 0);
    expect([first, second, third].map((one) => [one?.[1], one?.[3]])).toEqual([
      ['one', 1],
      ['one', 1],
      ['one', 1],
    ]);
  });

  test('does not renew an entry that another instance claimed or that was acknowledged', async () => {
    const { key, group, redis, ids, pending, renew } = await withPending();
    await redis.xclaim(key, group, 'two', 0, ids[0] ?? '');
    await redis.xack(key, group, ids[1] ?? '');

    expect(await renew(ids)).toBe(1);
    expect((await pending()).map(([, owner]) => owner)).toEqual(['two', 'one']);
  });

  test('leaves a trimmed entry pending, so that its loss is counted when this process dies', async () => {
    const { key, redis, ids, pending, renew } = await withPending();
    await redis.xtrim(key, 'MAXLEN', 0);

    expect(await renew(ids)).toBe(0);
    expect(await pending()).toHaveLength(3);
  });

  test('renews all of more ids than fit into one call', async () => {
    const { key, group, redis, renew } = await withPending();
    const added = redis.pipeline();
    for (let number = 0; number < 1200; number += 1) added.xadd(key, '*', 'n', 'x');
    const ids = ((await added.exec()) ?? []).map(([, id]) => id as EntryId);
    await redis.xreadgroup('GROUP', group, 'one', 'COUNT', 2000, 'STREAMS', key, '>');

    expect(await renew(ids)).toBe(1200);
  });
});
