import type { Redis } from 'ioredis';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { inspectCommand } from '../../src/stream/inspection.ts';
import { serverRunId } from '../../src/stream/read-count.ts';
import { eventually, type RunningService, startService } from '../../tools/service.ts';
import { entryFields } from '../cli/stack.ts';
import { type FreshDatabase, freshDatabase } from '../setup/database.ts';
import { type ShippedRedis, startShippedRedis } from './shipped-redis.ts';

const stream = 'telemetry:teltonika';
const deadLetters = `${stream}:dlq`;
const group = 'processor';
const lostUndelivered = 'processor_stream_entries_lost_total{cause="trimmed_undelivered"}';
const lostPending = 'processor_stream_entries_lost_total{cause="trimmed_pending"}';

/** Each test starts Redis twice and up to three instances of the service. */
const restartTime = 120_000;

const restarts = [
  { how: 'a clean restart', signal: 'SIGTERM' as const },
  { how: 'a kill -9', signal: 'SIGKILL' as const },
];

describe.each(restarts)('the shipped Redis, after $how', ({ signal }) => {
  let shipped: ShippedRedis;
  let database: FreshDatabase;
  let running: RunningService[] = [];
  let operator: Redis;
  let ingestion: Redis;
  beforeEach(async () => {
    shipped = await startShippedRedis('compose.yaml');
    database = await freshDatabase();
    operator = shipped.connect('processor-operator');
    ingestion = shipped.connect('ingestion');
  });
  afterEach(async () => {
    for (const service of running) await service.end('SIGKILL');
    running = [];
    await shipped.close();
    await database.drop();
  });

  function start(name: string): RunningService {
    const service = startService({
      ...shipped.environment('processor'),
      POSTGRES_URL: database.url,
      CONSUMER_NAME: name,
      READ_BLOCK_MS: '200',
      CLAIM_INTERVAL_MS: '200',
      CLAIM_THRESHOLD_MS: '1500',
      DRAIN_BUDGET_MS: '1400',
      INSERT_DEADLINE_MS: '1300',
      STATEMENT_TIMEOUT_MS: '1200',
      LOCK_TIMEOUT_MS: '500',
    });
    running.push(service);
    return service;
  }
  async function send(from: number, count: number): Promise<void> {
    for (let index = from; index < from + count; index += 1) {
      await ingestion.xadd(stream, '*', ...entryFields(index));
    }
  }
  const outcome = (service: RunningService, name: string) =>
    service.metric(`processor_records_total{outcome="${name}"}`);
  const until = (what: string, count: number, ask: () => Promise<number>) =>
    eventually(`${what} is ${count}`, async () => ((await ask()) === count ? true : undefined));
  const pendingCount = async () => Number((await operator.xpending(stream, group))[0]);
  const sum = (series: string) =>
    running.reduce(async (total, service) => (await total) + (await service.metric(series)), zero);
  const zero = Promise.resolve(0);

  /** With `everysec` a write may wait for a slow disk for two seconds, and a kill would lose it. */
  async function restart(): Promise<void> {
    await eventually('the append-only file is written', async () =>
      (await operator.info('persistence')).includes('aof_buffer_length:0\r\n') ? true : undefined,
    );
    await shipped.restart(signal);
  }

  /** Twenty stored entries and three dead letters, all settled by an instance that then stopped. */
  async function runOnce(): Promise<void> {
    const service = start('one');
    await service.untilReady();
    await send(0, 20);
    for (let bad = 0; bad < 3; bad += 1) await ingestion.xadd(stream, '*', 'nonsense', `${bad}`);
    await until('stored', 20, () => outcome(service, 'inserted'));
    await until('dead letters', 3, () => operator.xlen(deadLetters));
    await until('pending', 0, pendingCount);
    expect(await service.end('SIGTERM')).toBe(0);
    running = [];
  }

  /** A consumer that is gone holds five entries, which nobody acknowledged. */
  async function holdFive(): Promise<void> {
    const words = ['GROUP', group, 'gone', 'COUNT', '5', 'STREAMS', stream, '>'] as const;
    const holder = shipped.connect('processor');
    await holder.call('XREADGROUP', ...words);
    // It died after its next look.
    const [look, ...lookWords] = inspectCommand(stream, group, await serverRunId(holder));
    await holder.call(look, ...lookWords);
  }

  /** What must be the same before and after; times and the counts of Redis' own change. */
  async function state() {
    const [info] = (await operator.xinfo('GROUPS', stream)) as unknown[][];
    const pending = (await operator.call(
      'XPENDING',
      stream,
      group,
      '-',
      '+',
      '1000',
    )) as string[][];
    return {
      letters: await operator.xrange(deadLetters, '-', '+'),
      entries: await operator.xrange(stream, '-', '+'),
      delivered: info?.[info.indexOf('last-delivered-id') + 1],
      pending: pending.map(([id, consumer, , deliveries]) => [id, consumer, deliveries]),
      moved: await operator.zrange(`${stream}:control:moved`, '0', '-1', 'WITHSCORES'),
    };
  }

  test(
    'has dead letters, group and pending entries as before, and nothing is reported lost',
    async () => {
      await runOnce();
      await send(20, 10);
      await holdFive();
      // Trimmed: only entries that were stored and acknowledged.
      await ingestion.xadd(stream, 'MAXLEN', '=', 12, '*', ...entryFields(30));
      const before = await state();
      expect(before.letters).toHaveLength(3);
      expect(before.pending).toHaveLength(5);
      expect(before.entries).toHaveLength(12);

      await restart();

      expect(await state()).toEqual(before);
      const [one, two] = [start('one'), start('two')];
      const stored = async () =>
        (await outcome(one, 'inserted')) + (await outcome(two, 'inserted'));
      await until('stored', 11, stored);
      await until('pending', 0, pendingCount);
      expect(await sum(lostUndelivered)).toBe(0);
      expect(await sum(lostPending)).toBe(0);
      expect(running.flatMap(({ logs }) => logs).filter(({ level }) => level === 'error')).toEqual(
        [],
      );
      expect((await state()).letters).toEqual(before.letters);
    },
    restartTime,
  );

  test.each(['before', 'after'])(
    'counts a real loss once over two instances, trimmed %s the restart',
    async (when) => {
      await runOnce();
      await send(20, 10);
      await holdFive();
      await running[0]?.end('SIGTERM');
      if (when === 'after') await restart();
      // Of the five that nobody has read three go; one comes.
      await ingestion.xadd(stream, 'MAXLEN', '=', 3, '*', ...entryFields(30));
      if (when === 'before') await restart();

      const [one, two] = [start('one'), start('two')];
      const stored = async () =>
        (await outcome(one, 'inserted')) + (await outcome(two, 'inserted'));
      await until('stored', 3, stored);
      await until('lost while pending', 5, () => sum(lostPending));
      await until('lost', 3, () => sum(lostUndelivered));
      await send(40, 5);
      await until('stored', 8, stored);
      expect(await sum(lostUndelivered)).toBe(3);
    },
    restartTime,
  );
});
