import { Redis } from 'ioredis';
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest';
import type { SimulatedEntry } from '../../src/simulator/entry.ts';
import { type FeedOptions, feed } from '../../src/simulator/feed.ts';
import { createFleet, type Fleet } from '../../src/simulator/fleet.ts';
import { createSender } from '../../src/simulator/sender.ts';
import { streamBacklog } from '../../src/simulator/stream-backlog.ts';
import { freshStream, redisUrl } from '../setup/database.ts';

let redis: Redis;

beforeAll(() => {
  redis = new Redis(redisUrl(), { protocol: 2 });
});

afterAll(() => {
  redis.disconnect();
});

function fleetOf(seed: number): Fleet {
  return createFleet({
    seed,
    baseTime: Date.UTC(2026, 5, 1),
    devices: 20,
    form: 'mixed',
    packetRecords: 8,
    expectedRecords: 50_000,
  });
}

interface FeedCase extends Partial<FeedOptions> {
  readonly stream?: string;
  readonly onSent?: (entry: SimulatedEntry) => void;
}

function feedOptions({ stream = freshStream().key, onSent = () => {}, ...changes }: FeedCase = {}) {
  const { signal = new AbortController().signal } = changes;
  const open = () => redis.duplicate({ lazyConnect: true }).on('error', () => {});
  const sender = createSender({ open, stream, onSent, signal });
  onTestFinished(() => sender.close());
  return {
    stream,
    sender,
    fleet: fleetOf(1),
    records: 3_000,
    durationMs: null,
    rate: null,
    maxBacklog: null,
    signal,
    ...changes,
  };
}

test('the stream holds the entries of the fleet, in order and byte for byte', async () => {
  const sent: SimulatedEntry[] = [];
  const options = feedOptions({ onSent: (entry) => sent.push(entry) });
  const totals = await feed(options);
  const stored = await redis.xrangeBuffer(options.stream, '-', '+');
  const expected = sent.map(({ fields }) => fields.map((field) => Buffer.from(field)));
  expect(stored.map(([, fields]) => fields)).toEqual(expected);
  const again = fleetOf(1);
  expect(sent).toEqual(sent.map(() => again.next()));
  const records = sent.reduce((sum, entry) => sum + entry.records.length, 0);
  expect(totals).toMatchObject({ entries: sent.length, records });
  expect(records).toBeGreaterThanOrEqual(3_000);
  expect(records).toBeLessThan(3_016);
});

test('a rate is not exceeded', async () => {
  const started = performance.now();
  const { records } = await feed(feedOptions({ records: 300, rate: 1_000 }));
  expect(records / ((performance.now() - started) / 1000)).toBeLessThan(1_100);
});

test('a feed with a duration ends when it is over', async () => {
  const options = feedOptions({ records: null, durationMs: 200, rate: 2_000 });
  const { entries } = await feed(options);
  expect(await redis.xlen(options.stream)).toBe(entries);
});

test('an abort ends the feed, which reports what it sent', async () => {
  const stopping = new AbortController();
  let reported = 0;
  const options = feedOptions({
    records: 1_000_000,
    signal: stopping.signal,
    onSent: () => {
      reported += 1;
      if (reported === 500) stopping.abort();
    },
  });
  const { entries } = await feed(options);
  expect(entries).toBe(reported);
  expect(await redis.xlen(options.stream)).toBe(reported);
});

test('a feed with a bound waits for the slowest group', async () => {
  const { key, group } = freshStream();
  await redis.xgroup('CREATE', key, group, '0', 'MKSTREAM');
  await redis.xgroup('CREATE', key, `${group}-idle`, '0');
  const stopping = new AbortController();
  const fed = feed(
    feedOptions({ stream: key, records: 20_000, maxBacklog: 300, signal: stopping.signal }),
  );
  const reached = async () => (await streamBacklog(redis, key)) > 300;
  while (!(await reached())) await new Promise((resolve) => setTimeout(resolve, 5));
  await redis.xreadgroup('GROUP', group, 'c', 'COUNT', 10, 'NOACK', 'STREAMS', key, '>');
  stopping.abort();
  const { entries } = await fed;
  // One batch may be made and one on its way when the bound is met.
  expect(entries).toBeLessThanOrEqual(300 + 2 * 256);
  expect(await streamBacklog(redis, key)).toBe(entries);
});

test('an entry that Redis refuses ends the feed with its reason', async () => {
  const { key } = freshStream();
  await redis.set(key, 'not a stream');
  await expect(feed(feedOptions({ stream: key }))).rejects.toMatchObject({
    code: 'add_failed',
    message: expect.stringContaining('WRONGTYPE'),
  });
});

test('a feed without an end is refused', async () => {
  await expect(feed(feedOptions({ records: null }))).rejects.toThrow(/needs an end/);
});
