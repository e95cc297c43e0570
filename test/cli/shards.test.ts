import { once } from 'node:events';
import { Redis } from 'ioredis';
import { describe, expect, onTestFinished, test } from 'vitest';
import { runConsumersList, runConsumersRemove } from '../../src/cli/consumers.ts';
import { runForget } from '../../src/cli/device-forget.ts';
import { runRehydrate } from '../../src/cli/device-rehydrate.ts';
import { runDeviceShow } from '../../src/cli/device-show.ts';
import { runDlqShow } from '../../src/cli/dlq.ts';
import { runDlqExport } from '../../src/cli/dlq-export.ts';
import { runDlqPurge } from '../../src/cli/dlq-purge.ts';
import { runDoctor } from '../../src/cli/doctor.ts';
import { runMigrateUp } from '../../src/cli/migrate.ts';
import { runPause } from '../../src/cli/pause.ts';
import { runPendingClaim } from '../../src/cli/pending-claim.ts';
import { runResume } from '../../src/cli/resume.ts';
import { overShards } from '../../src/cli/shards.ts';
import { processHost } from '../../src/config/host.ts';
import { formatProblems, loadConfig } from '../../src/config/load.ts';
import { callRedis } from '../../src/stream/redis.ts';
import { shardOf } from '../../src/stream/shards.ts';
import { dryRun, yes } from './in-process.ts';
import { shards, useShards } from './shard-stack.ts';
import { auditOf, deadLettersOf, idAt, keyOf } from './shard-world.ts';
import { entryFields, imei } from './stack.ts';

const { stack, run, resultOf, fillSome } = useShards();

const all = { json: true, limit: 1000 };
const claim = { consumer: 'gone', minIdle: 0, force: true, timeout: 1 };

describe('ids of several shards', () => {
  test('name their shard, and are accepted as they are printed', async () => {
    await fillSome();
    const show = (id: string, flags = {}) =>
      run((io) => runDlqShow(io, id, { json: true, ...flags }));

    const shown = await show(`1:${idAt(0)}`);
    expect(JSON.parse(shown.stdout)).toMatchObject({
      shard: 1,
      id: `1:${idAt(0)}`,
      entry_id: `1:${idAt(0)}`,
      fields: [{ value: { text: imei(1000) } }, {}, {}, {}],
    });
    expect(await show(idAt(0), { shard: 1 })).toEqual(shown);
    expect(await show(idAt(0))).toMatchObject({
      code: 2,
      stderr: expect.stringContaining('an id names its shard'),
    });
    expect(await show(`1:${idAt(0)}`, { shard: 0 })).toMatchObject({
      code: 2,
      stderr: expect.stringContaining('of another shard'),
    });
    expect(await show(`2:${idAt(0)}`)).toMatchObject({
      code: 1,
      stderr: expect.stringContaining(`no dead letter has the id 2:${idAt(0)}`),
    });
    const exported = await run((io) => runDlqExport(io, { ...all, to: '-' }));
    expect(
      exported.stdout
        .trim()
        .split('\n')
        .map((line) => JSON.parse(line).id),
    ).toEqual([
      ...[`0:${idAt(0)}`, `1:${idAt(0)}`, `3:${idAt(0)}`, `0:${idAt(1)}`, `1:${idAt(1)}`],
      `1:${idAt(2)}`,
    ]);
  });

  test('select one dead letter although another shard has one of the same id', async () => {
    await fillSome();
    const purged = await resultOf((io) =>
      runDlqPurge(io, { ...yes, ...all, all: false, id: `1:${idAt(0)}` }),
    );

    expect(purged).toEqual({
      letters: 1,
      purged: 1,
      shards: [{ shard: 1, letters: 1, purged: 1 }],
      missing_shards: [],
    });
    expect(await stack.redis.xlen(deadLettersOf(0))).toBe(2);
    expect(await stack.redis.xlen(deadLettersOf(1))).toBe(2);
    expect([await auditOf(stack.redis, 0), await auditOf(stack.redis, 1)]).toEqual([
      [],
      ['dlq purge'],
    ]);
  });
});

describe('a change', () => {
  test('of pause and resume reaches the shards of READ_SHARDS and no other', async () => {
    const cell = { READ_SHARDS: '0-1' };
    const isPaused = () =>
      Promise.all(shards.map((shard) => stack.redis.exists(`${keyOf(shard)}:control:paused`)));
    const pause = (flags: object, env = {}) =>
      run((io) => runPause(io, { ...yes, json: false, reason: 'work', ...flags }), env);

    expect((await pause({}, cell)).stdout).toMatch(/telemetry:teltonika in shards 0-1 is paused/);
    expect(await isPaused()).toEqual([1, 1, 0, 0]);
    expect((await pause({ shard: 3 })).stdout).toMatch(/in shard 3 is paused/);
    expect((await pause({})).stdout.split('\n')).toEqual([
      expect.stringMatching(/in shards 0-1,3 was paused already/),
      expect.stringMatching(/in shard 2 is paused; running instances stop/),
      '',
    ]);
    const resumed = await resultOf((io) => runResume(io, { ...yes, shard: 2 }));
    expect(resumed).toMatchObject({ resumed: true, shards: [{ shard: 2, resumed: true }] });
    expect(await isPaused()).toEqual([1, 1, 0, 1]);
    expect(await auditOf(stack.redis, 2)).toEqual(['pause', 'resume']);
  });

  test('counts over the shards before it asks, and says what each shard did', async () => {
    await fillSome();
    const { redis } = stack;
    await redis.xgroup('CREATECONSUMER', keyOf(2), 'processor', 'gone');
    const purge = { ...all, all: true };
    const asked = await run((io) => runDlqPurge(io, { ...dryRun, ...purge, json: false }));
    expect(asked.stdout).toBe('would delete 6 dead letters for good (all)\n');
    const handed = await run((io) => runPendingClaim(io, { ...dryRun, ...claim }));
    expect(handed.stdout).toBe('would hand 3 entries of gone in shards 0-2 to running instances\n');

    const claimed = await run((io) => runPendingClaim(io, { ...yes, ...claim }));
    expect(JSON.parse(claimed.stdout)).toEqual({
      ...{ consumer: 'gone', claimed: 3, left: 3, missing_shards: [] },
      shards: [
        { shard: 0, claimed: 2, left: 2 },
        { shard: 1, claimed: 1, left: 1 },
        { shard: 2, claimed: 0, left: 0 },
      ],
    });
    const consumers = await resultOf((io) => runConsumersList(io, { json: true }));
    expect(consumers.consumers).toMatchObject([
      { shard: 0, name: 'gone', pending: 2 },
      { shard: 1, name: 'gone', pending: 1 },
      { shard: 2, name: 'gone', pending: 0 },
    ]);
    const removed = await run((io) => runConsumersRemove(io, 'gone', yes), {
      READ_BLOCK_MS: '100',
    });
    expect(removed.code).toBe(1);
    expect(removed.stderr).toMatch(/^processor: gone in shards 0-1: it holds entries/);
    expect(JSON.parse(removed.stdout)).toMatchObject({
      removed: false,
      shards: [
        { shard: 0, removal: 'pending' },
        { shard: 1, removal: 'pending' },
        { shard: 2, removal: 'removed' },
        { shard: 3, removal: 'absent' },
      ],
    });
    const purged = await run((io) => runDlqPurge(io, { ...yes, ...purge, json: false }));
    expect(purged.stdout.split('\n')).toEqual([
      '6 dead letters deleted',
      ...['  shard 0  2', '  shard 1  3', '  shard 3  1', ''],
    ]);
  });
});

describe('a device', () => {
  test('is found in its shard, in a wrong one, and in its dead letters of any', async () => {
    await run((io) => runMigrateUp(io, yes));
    await fillSome();
    const device = imei(1000);
    const own = shardOf(device, 4);
    const wrong = (own + 1) % 4;
    await stack.redis.xadd(keyOf(wrong), '*', ...entryFields(1000));

    const shown = await resultOf((io) => runDeviceShow(io, device, { json: true, model: 'FMB' }));
    expect(shown).toMatchObject({ pending: 1, dead_letters: { latitude_out_of_range: 1 } });
    const forget = await run((io) => runForget(io, device, dryRun));
    expect(forget.stdout).toMatch(/unsettled_entries=2 dead_letters=1/);
    const text = await run((io) => runDeviceShow(io, device, { json: false, model: 'FMB' }));
    expect(text.stdout).toMatch(new RegExp(`^shard +${own} of 4 by its IMEI`, 'm'));
    const asked = await resultOf((io) => runRehydrate(io, device, yes));
    expect(asked).toMatchObject({ requested: true, missing_shards: [] });
    const requests = shards.map((shard) => stack.redis.xlen(`${keyOf(shard)}:control:requests`));
    expect(await Promise.all(requests)).toEqual([1, 1, 1, 1]);
  });

  test('is forgotten in every shard, and in none before all its entries are settled', async () => {
    await run((io) => runMigrateUp(io, yes));
    await fillSome();
    const device = imei(1000);
    await stack.redis.xadd(keyOf(3), '*', ...entryFields(1000));
    const lengths = () =>
      Promise.all(
        shards.flatMap((shard) => [
          stack.redis.xlen(keyOf(shard)),
          stack.redis.xlen(deadLettersOf(shard)),
        ]),
      );
    const before = await lengths();

    const refused = await run((io) => runForget(io, device, yes));
    expect(refused).toMatchObject({ code: 1, stdout: '' });
    expect(await lengths()).toEqual(before);

    for (const shard of [1, 3]) await settleAll(stack.redis, keyOf(shard));
    expect(await traces(stack.redis, device)).toEqual([1, 1, 3]);
    const { code, stdout } = await run((io) => runForget(io, device, { ...yes, json: true }));
    expect(code).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({ forgotten: true });
    expect(await traces(stack.redis, device)).toEqual([]);
    const after = await lengths();
    const gone = before.map((length, at) => length - (after[at] ?? 0));
    expect(gone.reduce((sum, one) => sum + one, 0)).toBe(3);
  });
});

/** Delivers and acknowledges every entry of a stream. */
async function settleAll(redis: Redis, key: string): Promise<void> {
  await redis.xgroup('SETID', key, 'processor', '$');
  const pending = await redis.xpending(key, 'processor', '-', '+', 1000);
  for (const one of pending) {
    if (Array.isArray(one)) await redis.xack(key, 'processor', String(one[0]));
  }
}

/** The shard of each entry and of each dead letter that names the device. */
async function traces(redis: Redis, device: string): Promise<number[]> {
  const found = shards.map(async (shard) => {
    const streams = [keyOf(shard), deadLettersOf(shard)];
    const pages = await Promise.all(streams.map((stream) => redis.xrange(stream, '-', '+')));
    return pages.flat().flatMap(([, fields]) => (fields.join(' ').includes(device) ? [shard] : []));
  });
  return (await Promise.all(found)).flat();
}

test('doctor checks the server once and the keys of each shard', async () => {
  await run((io) => runMigrateUp(io, yes));
  await fillSome();
  await stack.redis.del(keyOf(3));
  await stack.redis.set(keyOf(3), 'no stream');
  const { code, stdout } = await run((io) => runDoctor(io, { json: true, strict: false }));

  const {
    checks,
  }: { checks: { name: string; state: string; message: string; shards?: number[] }[] } =
    JSON.parse(stdout);
  const of = (name: string) => checks.filter((check) => check.name === name);
  expect(code).toBe(1);
  expect(of('redis version')).toMatchObject([{ state: 'ok', shards }]);
  expect(of('stream')).toMatchObject([
    { state: 'ok', shards: [0, 1, 2] },
    {
      state: 'failure',
      message: expect.stringMatching(/^shard 3: .* is not a stream$/),
      shards: [3],
    },
  ]);
});

test('a shard that fails during the work is missing, and has begun; the others finish', async () => {
  const loaded = loadConfig(
    { ...stack.env(), STREAM_SHARDS: '3', TIMESCALEDB: 'optional' },
    processHost(),
  );
  if (!loaded.ok) throw new Error(formatProblems(loaded.problems));
  const stores = loaded.config.streams.map((stream) => {
    const redis = new Redis(stack.env().REDIS_URL ?? '', { enableOfflineQueue: false });
    redis.on('error', () => undefined);
    onTestFinished(() => redis.disconnect());
    const ready = once(redis, 'ready').then(() => redis);
    return { stream, redis: () => ready };
  });
  const answers = await overShards(stores, async ({ stream, redis }) => {
    const client = await redis();
    if (stream.shard === 1) client.disconnect();
    return await callRedis(() => client.ping());
  });
  expect(answers.answered.map(({ store, value }) => [store.stream.shard, value])).toEqual([
    [0, 'PONG'],
    [2, 'PONG'],
  ]);
  expect(answers.missing).toMatchObject([{ shard: 1, hasBegun: true }]);
});
