import { Redis } from 'ioredis';
import { describe, expect, onTestFinished, test } from 'vitest';
import { sampleBacklog } from '../../src/stream/backlog.ts';
import { startRedis } from '../../tools/servers/servers.ts';
import { eventually, startService } from '../../tools/service.ts';
import { runCommand } from '../cli/command.ts';
import { entryFields } from '../cli/stack.ts';
import { freshDatabase } from '../setup/database.ts';
import { startShippedRedis } from './shipped-redis.ts';

const stream = 'telemetry:teltonika';
const group = 'processor';
const maximum = '18446744073709551615-18446744073709551615';
const inYear2500 = `${Date.UTC(2500, 0)}-0`;
const inSeconds = `${Math.floor(Date.now() / 1000)}-0`;
/** Several processes, on a machine that others use. */
const timeout = 120_000;

/** The shipped Redis, a database, a running instance, and the operator's commands. */
async function setUp(skip: (note: string) => void = () => undefined) {
  const shipped = await startShippedRedis('compose.yaml');
  onTestFinished(() => shipped.close());
  const database = await freshDatabase();
  onTestFinished(() => database.drop());
  const common = { POSTGRES_URL: database.url, TIMESCALEDB: 'optional' };
  const service = startService({
    ...shipped.environment('processor'),
    ...common,
    CONSUMER_NAME: 'one',
    READ_BLOCK_MS: '200',
  });
  onTestFinished(async () => {
    await service.end('SIGKILL');
  });
  await service.untilReady();
  const operator = shipped.connect('processor-operator');
  const env = { ...shipped.environment('cli'), ...common };
  const stored = (count: number) =>
    eventually(`${count} entries are stored and acknowledged`, async () => {
      const inserted = await service.metric('processor_records_total{outcome="inserted"}');
      const [pending] = await operator.xpending(stream, group);
      return inserted === count && pending === 0 ? true : undefined;
    });
  const skipUnlessXsetid = async () => {
    const version = /redis_version:(\d+)\.(\d+)/.exec(await operator.info('server'));
    const [major, minor] = [Number(version?.[1]), Number(version?.[2])];
    if (major > 7 || (major === 7 && minor >= 2)) {
      // The runbook's other way, which needs an administrator, has a test of its own below.
      skip('Redis 7.2 and newer refuse XSETID below a deleted id');
    }
  };
  return {
    service,
    operator,
    stored,
    skipUnlessXsetid,
    ingestion: shipped.connect('ingestion'),
    processor: (...words: string[]) => runCommand(env, words),
  };
}

const options = { key: stream, group, deadLetterKey: `${stream}:dlq` };
const sample = (redis: Redis) => sampleBacklog(redis, options, Date.now());

describe.each([
  ['of the year 2500', inYear2500, 'future'],
  ['of the maximum', maximum, 'exhausted'],
  ['in seconds', inSeconds, 'past'],
])('an entry id %s', (_, id, reason) => {
  test('is stored, never used as a clock, and reported by metric, log, status, doctor and verify', {
    timeout,
  }, async () => {
    const { service, operator, ingestion, processor, stored } = await setUp();
    await ingestion.xadd(stream, id, ...entryFields(0));
    await stored(1);

    await eventually('the metric says so', async () => {
      const series = `processor_stream_ids_no_clock{stream="${stream}",reason="${reason}"}`;
      return (await service.metric(series)) === 1 ? true : undefined;
    });
    expect(
      service.logs.find(({ msg }) => msg.startsWith('entry ids are not timestamps')),
    ).toMatchObject({
      level: 'warn',
      reason,
    });
    const latencies = 'processor_end_to_end_seconds_count{from="entry"}';
    expect(await service.metric(latencies)).toBe(0);
    expect(await sample(operator)).toMatchObject({ lag: 0, idFault: reason });

    const status = await processor('status');
    expect([status.code, status.stdout]).toEqual([
      3,
      expect.stringContaining('ids are not timestamps'),
    ]);
    const doctor = await processor('doctor');
    expect(doctor.stdout).toMatch(/(warning|failure) +entry ids /);
    const verify = await processor('verify', '--from', '1h');
    expect([verify.code, verify.stderr]).toEqual([
      1,
      expect.stringContaining('ids are not timestamps'),
    ]);
  });
});

test.for([
  ['of the year 2500', inYear2500],
  ['of the maximum', maximum],
] as const)(
  'the runbook repairs an id %s with the rights of the operator',
  { timeout },
  async ([, id], { skip }) => {
    const { service, operator, ingestion, processor, stored, skipUnlessXsetid } = await setUp(skip);
    await skipUnlessXsetid();
    await ingestion.xadd(stream, '*', ...entryFields(0));
    await ingestion.xadd(stream, id, ...entryFields(1));
    await stored(2);
    expect((await processor('pause', '--reason', 'entry ids', '--yes')).code).toBe(0);
    await eventually('it is paused', async () =>
      (await service.metric('processor_consumption_paused')) === 1 ? true : undefined,
    );
    // A read that was under way ends after its block time.
    await new Promise((resolve) => setTimeout(resolve, 500));

    const ahead = await operator.xrange(stream, Date.now() + 3_600_000, '+', 'COUNT', 100);
    expect(ahead.map(([found]) => found)).toEqual([id]);
    expect(await operator.xdel(stream, id)).toBe(1);
    const [[last = ''] = []] = await operator.xrevrange(stream, '+', '-', 'COUNT', 1);
    expect(await operator.call('XSETID', stream, last, 'MAXDELETEDID', last)).toBe('OK');
    expect(await operator.call('XGROUP', 'SETID', stream, group, last)).toBe('OK');
    expect((await processor('resume', '--yes')).code).toBe(0);

    await ingestion.xadd(stream, '*', ...entryFields(2));
    await stored(3);
    expect(await sample(operator)).toMatchObject({ lag: 0, idFault: null });
    expect((await processor('doctor')).stdout).toMatch(/ok +entry ids /);
    expect(service.logs.filter(({ level }) => level === 'error')).toEqual([]);
  },
);

test('the runbook deletes the settled stream where Redis refuses XSETID', { timeout }, async () => {
  const server = await startRedis();
  onTestFinished(server.stop);
  const admin = new Redis(server.url);
  onTestFinished(() => admin.disconnect());
  const database = await freshDatabase();
  onTestFinished(() => database.drop());
  const urls = { REDIS_URL: server.url, POSTGRES_URL: database.url, TIMESCALEDB: 'optional' };
  const service = startService({ ...urls, CONSUMER_NAME: 'one', READ_BLOCK_MS: '200' });
  onTestFinished(async () => {
    await service.end('SIGKILL');
  });
  await service.untilReady();
  const stored = (count: number) =>
    eventually(`${count} entries are stored`, async () =>
      (await service.metric('processor_records_total{outcome="inserted"}')) === count
        ? true
        : undefined,
    );
  await admin.xadd(stream, inYear2500, ...entryFields(0));
  await stored(1);
  expect((await runCommand(urls, ['pause', '--reason', 'entry ids', '--yes'])).code).toBe(0);
  await eventually('it is paused', async () =>
    (await service.metric('processor_consumption_paused')) === 1 ? true : undefined,
  );
  expect(await admin.del(stream)).toBe(1);
  expect((await runCommand(urls, ['resume', '--yes'])).code).toBe(0);

  await admin.xadd(stream, '*', ...entryFields(1));
  await stored(2);
  expect(await sample(admin)).toMatchObject({ idFault: null });
  expect(
    await service.metric('processor_stream_entries_lost_total{cause="trimmed_undelivered"}'),
  ).toBe(0);
});
