import { createHash } from 'node:crypto';
import type { Redis } from 'ioredis';
import { describe, expect, onTestFinished, test } from 'vitest';
import type { Entry, Rejection } from '../../src/core/types.ts';
import { createAcknowledger, type Settled } from '../../src/stream/acknowledger.ts';
import { digestFields } from '../../src/stream/dead-letters.ts';
import { startRedis } from '../../tools/servers/servers.ts';
import { freshStream, redisUrl } from '../setup/database.ts';
import { acknowledged, connect, moveAll, openConsumer } from './entries.ts';

const at = Date.UTC(2026, 2, 1, 12);

const badCrc: Rejection = {
  stage: 'decode',
  reason: 'crc_mismatch',
  message: 'CRC 1 where 2 was expected',
  recordIndex: null,
  offset: 17,
};
const outOfRange: Rejection = {
  stage: 'validate',
  reason: 'ts_out_of_range',
  message: 'too old',
  recordIndex: 3,
  offset: null,
};

/** A stream with these entries, all delivered to consumer `one` and not acknowledged. */
async function delivered(
  entries: readonly (string | Buffer)[][],
  url = redisUrl(),
  change: { readonly commandTimeout?: number } = {},
) {
  const stream = freshStream();
  const redis = connect(url, change);
  const { consumer } = openConsumer(stream, { url });
  await consumer.prepare();
  for (const fields of entries) await redis.xadd(stream.key, '*', ...fields);
  const read = await consumer.read(1000);
  const deadLetterKey = `${stream.key}:dlq`;
  const acknowledger = createAcknowledger(
    () => Promise.resolve(redis),
    {
      ...stream,
      deadLetterKey,
      deadLetterMaxEntries: 1000,
      deadLetterStreamMaxBytes: 1_000_000,
      instance: 'i1',
      maxFieldBytes: 2048,
    },
    () => at,
    { replaced() {} },
  );
  const move = (settled: readonly Settled[]) => moveAll(acknowledger, settled);
  return { redis, acknowledger, move, entries: read, stream, deadLetterKey };
}

/** Reads the fields of all dead letters, values as bytes. */
async function readAll(redis: Redis, key: string): Promise<Map<string, Buffer>[]> {
  const entries = await redis.xrangeBuffer(key, '-', '+');
  return entries.map(([, flat]) => {
    const deadLetter = new Map<string, Buffer>();
    for (let i = 0; i + 1 < flat.length; i += 2) {
      deadLetter.set(String(flat[i]), flat[i + 1] ?? Buffer.alloc(0));
    }
    return deadLetter;
  });
}

async function pending(redis: Redis, { key, group }: { key: string; group: string }) {
  const summary = await redis.xpending(key, group);
  return Number(summary[0]);
}

function rejectedFor(entry: Entry | undefined, ...rejections: Rejection[]): Settled {
  if (entry === undefined) throw new Error('nothing was delivered');
  return { entry, rejections };
}

describe('an entry without rejections', () => {
  test('is acknowledged without a dead letter, and a second time has no effect', async () => {
    const { redis, acknowledger, entries, stream, deadLetterKey } = await delivered([
      ['a', '1'],
      ['a', '2'],
      ['a', '3'],
    ]);
    const settled = entries.slice(0, 2).map(acknowledged);

    await acknowledger.acknowledge(settled);
    await acknowledger.acknowledge(settled);

    expect(await pending(redis, stream)).toBe(1);
    expect(await redis.exists(deadLetterKey)).toBe(0);
  });

  test('more of them than one XACK takes are all acknowledged', async () => {
    const { redis, acknowledger, stream } = await delivered([]);
    const { consumer } = openConsumer(stream);
    const adding = redis.pipeline();
    for (let count = 0; count < 2500; count += 1) adding.xadd(stream.key, '*', 'a', String(count));
    await adding.exec();
    const entries = await consumer.read(3000);

    await acknowledger.acknowledge(entries.map(acknowledged));

    expect(entries).toHaveLength(2500);
    expect(await pending(redis, stream)).toBe(0);
  });
});

describe('a rejected entry', () => {
  test('becomes one dead letter with the reasons and its own fields, byte for byte', async () => {
    const bytes = Buffer.from(Array.from({ length: 256 }, (_, byte) => byte));
    const { redis, move, entries, stream, deadLetterKey } = await delivered([
      ['device_id', '350000000000001', 'frame', bytes, Buffer.from([0xff, 0x00]), 'odd name'],
    ]);

    await move([rejectedFor(entries[0], badCrc)]);

    const [[, flat = []] = []] = await redis.xrangeBuffer(deadLetterKey, '-', '+');
    const texts = flat.slice(0, 26).map(String);
    const [rejections] = texts.splice(23, 1);
    expect(texts).toEqual([
      'deliveries',
      '1',
      'version',
      '2',
      'entry_id',
      entries[0]?.id,
      'stage',
      'decode',
      'reason',
      'crc_mismatch',
      'message',
      'CRC 1 where 2 was expected',
      'record_index',
      '',
      'offset',
      '17',
      'instance',
      'i1',
      'at',
      '2026-03-01T12:00:00.000Z',
      'records',
      '1',
      'rejections',
      'fields_sha256',
      digestFields(entries[0]?.fields.parts() ?? []),
    ]);
    expect(JSON.parse(rejections ?? '')).toEqual([
      {
        stage: 'decode',
        reason: 'crc_mismatch',
        message: 'CRC 1 where 2 was expected',
        records: null,
        count: 1,
        offset: 17,
      },
    ]);
    expect(flat.slice(26)).toEqual([
      Buffer.from('f:device_id'),
      Buffer.from('350000000000001'),
      Buffer.from('f:frame'),
      bytes,
      Buffer.from([0x66, 0x3a, 0xff, 0x00]),
      Buffer.from('odd name'),
    ]);
    expect(await pending(redis, stream)).toBe(0);
  });

  test('is moved exactly once, however often it is acknowledged', async () => {
    const { redis, move, entries, stream, deadLetterKey } = await delivered([['a', '1']]);
    const settled = [rejectedFor(entries[0], badCrc)];

    await Promise.all([move(settled), move(settled)]);
    await move(settled);

    expect(await readAll(redis, deadLetterKey)).toHaveLength(1);
    expect(await pending(redis, stream)).toBe(0);
  });

  test('with several rejected records has one dead letter that lists them', async () => {
    const { redis, move, entries, deadLetterKey } = await delivered([['a', '1']]);

    await move([rejectedFor(entries[0], badCrc, outOfRange)]);

    const found = await readAll(redis, deadLetterKey);
    expect(found).toHaveLength(1);
    expect(String(found[0]?.get('records'))).toBe('2');
    expect(JSON.parse(String(found[0]?.get('rejections')))).toMatchObject([
      { reason: 'crc_mismatch', records: null },
      { reason: 'ts_out_of_range', records: '3' },
    ]);
  });

  test('with 255 rejected records keeps its fields once, and every record index', async () => {
    const frame = Buffer.alloc(2000, 'x');
    const { redis, move, entries, deadLetterKey } = await delivered([['frame', frame]]);
    const many = Array.from({ length: 255 }, (_, recordIndex): Rejection => {
      // Every message differs, like the messages of the validator.
      return { ...outOfRange, recordIndex, message: `${recordIndex} days too old` };
    });

    await move([rejectedFor(entries[0], ...many)]);

    const [deadLetter] = await readAll(redis, deadLetterKey);
    const bytes = [...(deadLetter ?? [])].reduce(
      (sum, [name, value]) => sum + name.length + value.length,
      0,
    );
    expect(bytes).toBeLessThan(frame.length + 1000);
    expect(JSON.parse(String(deadLetter?.get('rejections')))).toEqual([
      {
        stage: 'validate',
        reason: 'ts_out_of_range',
        message: '0 days too old',
        records: '0-254',
        count: 255,
        offset: null,
      },
    ]);
  });

  test('that is no longer pending gets no dead letter', async () => {
    const { redis, move, entries, stream, deadLetterKey } = await delivered([['a', '1']]);
    await redis.xack(stream.key, stream.group, entries[0]?.id ?? '');

    await move([rejectedFor(entries[0], badCrc)]);

    expect(await redis.exists(deadLetterKey)).toBe(0);
  });

  test('that was trimmed while an instance held it still gets one dead letter', async () => {
    const { redis, move, entries, stream, deadLetterKey } = await delivered([['a', '1']]);
    await redis.xtrim(stream.key, 'MAXLEN', 0);
    // A claim run of another instance takes it out of the pending list.
    await redis.xack(stream.key, stream.group, entries[0]?.id ?? '');

    for (let time = 0; time < 3; time += 1) {
      await move([rejectedFor(entries[0], badCrc)]);
    }

    expect(await redis.xlen(deadLetterKey)).toBe(1);
  });

  test('that was moved and trimmed since is not moved again', async () => {
    const { redis, move, entries, stream, deadLetterKey } = await delivered([['a', '1']]);
    await move([rejectedFor(entries[0], badCrc)]);
    await redis.xtrim(stream.key, 'MAXLEN', 0);

    await move([rejectedFor(entries[0], badCrc)]);

    expect(await redis.xlen(deadLetterKey)).toBe(1);
  });

  test('has its delivery count in the dead letter', async () => {
    const { redis, move, entries, stream, deadLetterKey } = await delivered([['a', '1']]);
    await redis.xreadgroup('GROUP', stream.group, 'one', 'COUNT', 10, 'STREAMS', stream.key, '0');

    await move([rejectedFor(entries[0], badCrc)]);

    expect(String((await readAll(redis, deadLetterKey))[0]?.get('deliveries'))).toBe('2');
  });

  test('keeps of a field past the cap its length, its SHA-256 and its first 1,024 bytes', async () => {
    const large = Buffer.alloc(2049, 'ab');
    const whole = large.subarray(0, 2048);
    const { redis, move, entries, deadLetterKey } = await delivered([
      ['large', large, 'whole', whole],
    ]);

    await move([rejectedFor(entries[0], badCrc)]);

    const [deadLetter] = await readAll(redis, deadLetterKey);
    expect(deadLetter?.get('f:large')).toEqual(large.subarray(0, 1024));
    expect(String(deadLetter?.get('cut:large'))).toBe('2049');
    expect(String(deadLetter?.get('sha256:large'))).toBe(
      createHash('sha256').update(large).digest('hex'),
    );
    expect(deadLetter?.get('f:whole')).toEqual(whole);
    expect(deadLetter?.has('cut:whole')).toBe(false);
  });

  test('with too many fields gets a bounded dead letter with the number of omitted fields', async () => {
    const fields = Array.from({ length: 1000 }, (_, index) => [`n${index}`, 'v']).flat();
    const { redis, move, entries, deadLetterKey } = await delivered([fields]);

    await move([rejectedFor(entries[0], badCrc)]);

    const [deadLetter] = await readAll(redis, deadLetterKey);
    const kept = [...(deadLetter?.keys() ?? [])].filter((name) => name.startsWith('f:'));
    expect(kept).toHaveLength(64);
    expect(String(deadLetter?.get('fields_left_out'))).toBe(String(1000 - 64));
  });

  test('250 at once are all moved, each once', async () => {
    const { redis, move, entries, stream, deadLetterKey } = await delivered(
      Array.from({ length: 250 }, (_, index) => ['n', String(index)]),
    );

    await move(entries.map((entry) => rejectedFor(entry, badCrc)));

    const ids = (await readAll(redis, deadLetterKey)).map((deadLetter) =>
      String(deadLetter.get('entry_id')),
    );
    expect(ids).toEqual(entries.map(({ id }) => id));
    expect(await pending(redis, stream)).toBe(0);
  });
});

test('a round that gets no answer is halved, down to one entry; answers let it grow again', async () => {
  const server = await startRedis();
  onTestFinished(server.stop);
  const { acknowledger, entries, stream } = await delivered(
    Array.from({ length: 100 }, (_, index) => ['n', String(index)]),
    server.url,
    { commandTimeout: 300 },
  );
  const admin = connect(server.url);
  let left = entries.map((entry) => rejectedFor(entry, badCrc));
  const round = async () => {
    const { moved, failed } = await acknowledger.moveRound(left);
    left = [...left.slice(moved.length + failed.length), ...failed];
    return [moved.length, failed.length];
  };

  // EVAL waits, as on a server that is too slow.
  await admin.call('CLIENT', 'PAUSE', '600000', 'WRITE');
  const sizes: number[][] = [];
  for (let attempt = 0; attempt < 9; attempt += 1) sizes.push(await round());
  expect(sizes.map(([, failed]) => failed)).toEqual([100, 50, 25, 12, 6, 3, 1, 1, 1]);

  await admin.call('CLIENT', 'UNPAUSE');
  // A slow machine may miss an answer again, which halves the round once more.
  const grown: number[] = [];
  while (left.length > 0) grown.push((await round())[0] ?? 0);
  expect(Math.max(...grown)).toBeGreaterThan(1);
  expect(await pending(admin, stream)).toBe(0);
  expect(await admin.xlen(`${stream.key}:dlq`)).toBe(100);
});

test('a Redis out of memory keeps the entry pending; with memory again it is moved once', async () => {
  const server = await startRedis();
  onTestFinished(server.stop);
  const { redis, move, entries, stream, deadLetterKey } = await delivered([['a', '1']], server.url);
  const settled = [rejectedFor(entries[0], badCrc)];
  await redis.config('SET', 'maxmemory', '1');

  await expect(move(settled)).rejects.toMatchObject({
    name: 'DependencyError',
    dependency: 'redis',
    kind: 'unavailable',
    code: 'OOM',
  });
  expect(await pending(redis, stream)).toBe(1);
  expect(await redis.exists(deadLetterKey)).toBe(0);

  await redis.config('SET', 'maxmemory', '0');
  await move(settled);
  expect(await pending(redis, stream)).toBe(0);
  expect(await readAll(redis, deadLetterKey)).toHaveLength(1);
});

test('a group that is gone is not taken for an acknowledgement', async () => {
  const { redis, move, entries, stream, deadLetterKey } = await delivered([['a', '1']]);
  await redis.xgroup('DESTROY', stream.key, stream.group);

  await expect(move([rejectedFor(entries[0], badCrc)])).rejects.toMatchObject({
    kind: 'unavailable',
    code: 'NOGROUP',
  });
  expect(await redis.exists(deadLetterKey)).toBe(0);
});
