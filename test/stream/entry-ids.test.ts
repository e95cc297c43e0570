import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { sampleBacklog } from '../../src/stream/backlog.ts';
import { compareIds, idFault } from '../../src/stream/entry-id.ts';
import { viewPending } from '../../src/stream/group-view.ts';
import { readRange } from '../../src/stream/range.ts';
import { unsettledIn } from '../../src/stream/replay.ts';
import { freshStream } from '../setup/database.ts';
import { connect, entryId, openConsumer } from './entries.ts';

/** Too close for a double: 2^53 is about 9 * 10^15. */
const close = [
  '1795621588311671296-5',
  '1795621588311671300-0',
  '1795621588311671302-0',
  '1795621588311671302-9007199254740992',
  '1795621588311671302-9007199254740993',
];
const maximum = '18446744073709551615-18446744073709551615';
const [first = '', second = ''] = close;

test('ids are compared exactly, whatever their 64 bits', () => {
  const part = fc.bigInt({ min: 0n, max: 2n ** 64n - 1n });
  fc.assert(
    fc.property(part, part, part, part, (aMs, aSequence, bMs, bSequence) => {
      const expected = aMs === bMs ? aSequence - bSequence : aMs - bMs;
      const compared = compareIds(`${aMs}-${aSequence}`, `${bMs}-${bSequence}`);
      expect(Math.sign(compared)).toBe(expected === 0n ? 0 : expected > 0n ? 1 : -1);
    }),
  );
  expect(close.toSorted(compareIds)).toEqual(close);
});

test('entries with close ids above 2^53 are read one by one, and the stream never went back', async () => {
  const stream = freshStream();
  const redis = connect();
  const { consumer, heard } = openConsumer(stream);
  await consumer.prepare();
  const ids = close.slice(0, 3);
  for (const id of ids) await redis.xadd(stream.key, id, 'n', 'x');

  const read: string[] = [];
  for (let sample = 0; sample < ids.length + 2; sample += 1) {
    read.push(...(await consumer.read(1)).map(({ id }) => id));
  }

  expect(read).toEqual(ids);
  expect(heard.wentBack).toBe(0);
});

test('close ids are distinguished as delivered and undelivered', async () => {
  const stream = freshStream();
  const redis = connect();
  for (const id of close) await redis.xadd(stream.key, id, 'n', 'x');
  await redis.xgroup('CREATE', stream.key, stream.group, second);

  const { undelivered } = await unsettledIn(redis, stream, close.map(entryId));

  expect([...undelivered]).toEqual(close.slice(2));
});

describe('the maximum id', () => {
  test('is read once as new and once as own pending entry', async () => {
    const stream = freshStream();
    const redis = connect();
    const { consumer } = openConsumer(stream);
    await consumer.prepare();
    for (const id of [first, maximum]) await redis.xadd(stream.key, id, 'n', 'x');
    expect(await consumer.read(10)).toHaveLength(2);
    consumer.close();

    const next = openConsumer(stream).consumer;
    // The second read asks what is behind the last pending entry.
    const again = [...(await next.read(2)), ...(await next.read(2)), ...(await next.read(2))];
    expect(again.map(({ id }) => id)).toEqual([first, maximum]);
  });

  test('ends a claim run, the range of a command, the list of pending entries and the lag', async () => {
    const stream = freshStream();
    const redis = connect();
    const { consumer } = openConsumer(stream);
    await consumer.prepare();
    await redis.xadd(stream.key, maximum, 'n', 'x');
    await consumer.read(10);

    const taker = openConsumer(stream, { consumer: 'two', claimThresholdMs: 0 });
    expect(await taker.consumer.read(1)).toHaveLength(1);
    expect(taker.heard.claimRuns).toBe(1);
    for await (const page of readRange(redis, stream, { from: '-', to: '+' })) {
      expect(page.entries.map(({ id }) => id)).toEqual([maximum]);
    }
    for await (const { id } of viewPending(redis, stream, { minIdleMs: 0 }))
      expect(id).toBe(maximum);
    const options = { ...stream, deadLetterKey: `${stream.key}:dlq` };
    expect(await sampleBacklog(redis, options, Date.now())).toMatchObject({
      lag: 0,
      pending: 1,
      pendingOldestMs: null,
      idFault: 'exhausted',
    });
  });
});

test('ids that are not timestamps are recognised', () => {
  const now = Date.UTC(2026, 10, 25);
  const hour = 3_600_000;
  expect(idFault(`${now}-0`, now)).toBe(null);
  expect(idFault('0-0', now)).toBe(null);
  expect(idFault(`${now + hour}-0`, now)).toBe(null);
  expect(idFault(`${now + hour + 1}-0`, now)).toBe('future');
  expect(idFault('1795621588311671296-5', now)).toBe('future');
  expect(idFault(`${now / 1000}-0`, now)).toBe('past');
  expect(idFault(maximum, now)).toBe('exhausted');
});
