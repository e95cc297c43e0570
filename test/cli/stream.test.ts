import { describe, expect, test } from 'vitest';
import { eventually } from '../../tools/service.ts';
import { entryFields, imei, stream, useStack } from './stack.ts';

const stack = useStack();

async function send(from: number, count: number): Promise<void> {
  for (let index = from; index < from + count; index += 1) {
    await stack.redis.xadd(stream, '*', ...entryFields(index));
  }
}

const untilStored = (count: number) =>
  eventually(`${count} rows are stored`, async () => {
    const [row] = await stack.query<{ n: number }>(
      'SELECT count(*)::int AS n FROM public.positions',
    );
    return row?.n === count ? true : undefined;
  });

const auditCommands = async () =>
  (await stack.redis.xrange(`${stream}:control:audit`, '-', '+')).map(([, fields]) => fields[3]);

/** Five entries delivered to a consumer that is no more. */
async function leaveBehind(): Promise<void> {
  await stack.redis.xgroup('CREATE', stream, 'processor', '0', 'MKSTREAM');
  await send(0, 5);
  await stack.redis.xreadgroup('GROUP', 'processor', 'gone', 'COUNT', 5, 'STREAMS', stream, '>');
}

describe('processor status', () => {
  test('reports that all is well, also for each named instance', async () => {
    const service = stack.service('one');
    await service.untilReady();
    await send(0, 10);
    await untilStored(10);
    const url = `${await service.url()}/metrics`;

    const { code, stdout, stderr } = await stack.processor('status', '--metrics-url', url);
    expect([code, stderr]).toEqual([0, '']);
    expect(stdout).toMatch(/^lag +0 entries/m);
    expect(stdout).toMatch(/^ {2}one +0, asked/m);
    expect(stdout).toMatch(
      /ready, breakers closed, last commit \d+m?s ago, 10 records, \d+ rows a batch, 0 in flight, \d+ MB$/m,
    );
    expect(stdout).toContain('all is well');

    const json = JSON.parse((await stack.processor('status', '--json')).stdout);
    expect(json).toMatchObject({
      attention: [],
      unreachable: [],
      stream: { length: 10, lag: 0, pending: 0, dead_letters: 0, pause: null, lost: null },
      database: { pending_migrations: 0 },
    });
    expect(json.database.answer_ms).toBeLessThan(30_000);
  });

  test('exits with 3 when consumption is paused, and says who did it and why', async () => {
    await stack.service('one').untilReady();
    await stack.processor('pause', '--reason', 'planned work', '--yes', '--by', 'anna');

    const { code, stdout } = await stack.processor('status');
    expect(code).toBe(3);
    expect(stdout).toContain('! paused by anna: planned work');
  });

  test('exits with 1 when something cannot be reached, and shows the rest', async () => {
    await stack.service('one').untilReady();

    const { code, stdout } = await stack.processor(
      'status',
      '--metrics-url',
      'http://127.0.0.1:9/metrics',
    );
    expect(code).toBe(1);
    expect(stdout).toMatch(/^x http:\/\/127\.0\.0\.1:9\/metrics: /m);
    expect(stdout).toMatch(/^stream +0 entries/m);
  });

  test('watches line by line without a terminal, for as many samples as asked', async () => {
    await stack.service('one').untilReady();
    await send(0, 3);
    await untilStored(3);

    const { code, stdout } = await stack.processor('status', '--watch', '1', '--frames', '3');
    expect(code).toBe(0);
    const lines = stdout.trim().split('\n');
    expect(lines).toHaveLength(3);
    for (const line of lines) {
      expect(line).toMatch(/lag=0 lag_s=0 pending=0 in=0\/s out=0\/s dead_letters=0$/);
    }
  });
});

describe('processor pending', () => {
  test('lists unacknowledged entries with their device', async () => {
    await leaveBehind();

    const { stdout } = await stack.processor('pending', 'list', '--json', '--limit', '3');
    expect(JSON.parse(stdout).entries).toMatchObject([
      { consumer: 'gone', deliveries: 1, device: imei(0), tries_alone: 0 },
      { device: imei(1) },
      { device: imei(2) },
    ]);
    expect((await stack.processor('pending', 'list', '--consumer', 'other')).stdout).toMatch(/^no/);
    expect((await stack.processor('pending', 'list', '--min-idle', '900')).stdout).toMatch(/^no/);
    expect((await stack.processor('pending', 'list')).stdout).toMatch(/^ENTRY +CONSUMER +IDLE/);
  });

  test("claim hands a dead instance's entries to a running one long before the threshold", async () => {
    await leaveBehind();
    // The consumer must seem dead: three block times without a read.
    await new Promise((resolve) => setTimeout(resolve, 700));
    const env = { READ_BLOCK_MS: '200', CLAIM_THRESHOLD_MS: '900000', CLAIM_INTERVAL_MS: '500' };
    await stack.service('alive', env).untilReady();
    const claim = (...words: string[]) =>
      stack.processorWith({ ...env }, 'pending', 'claim', '--consumer', 'gone', ...words);

    expect((await claim('--dry-run')).stdout).toMatch(/would hand 5 entries/);
    expect((await claim()).code).toBe(2);
    const { code, stdout, stderr } = await claim('--min-idle', '0', '--yes', '--json');
    expect([code, stderr]).toEqual([0, '']);
    expect(JSON.parse(stdout)).toEqual({ consumer: 'gone', claimed: 5, left: 0 });
    await untilStored(5);
    expect(await auditCommands()).toEqual(['pending claim']);
  });

  test('claim does not take the work of a running instance', async () => {
    await leaveBehind();

    const { code, stderr } = await stack.processor(
      'pending',
      'claim',
      '--consumer',
      'gone',
      '--yes',
      '--min-idle',
      '0',
    );
    expect(code).toBe(2);
    expect(stderr).toContain('is alive');
    const none = await stack.processor('pending', 'claim', '--consumer', 'nobody', '--yes');
    expect(none.stderr).toContain('no consumer nobody');
  });

  test('claim leaves an entry that was trimmed for the service to count as lost', async () => {
    await leaveBehind();
    await stack.redis.xtrim(stream, 'MAXLEN', 2);

    const { stdout } = await stack.processor(
      'pending',
      'claim',
      '--consumer',
      'gone',
      '--yes',
      '--min-idle',
      '0',
      '--force',
      '--timeout',
      '1',
      '--json',
    );
    expect(JSON.parse(stdout)).toEqual({ consumer: 'gone', claimed: 2, left: 5 });
  });
});

describe('processor consumers', () => {
  test('lists consumers, and removes only an idle one without pending entries', async () => {
    await leaveBehind();
    await stack.redis.xgroup('CREATECONSUMER', stream, 'processor', 'idle');
    const remove = (name: string) => stack.processor('consumers', 'remove', name, '--yes');

    expect((await remove('idle')).stderr).toContain('asked for entries a moment ago');
    await new Promise((resolve) => setTimeout(resolve, 700));
    const quick = { READ_BLOCK_MS: '200' };
    const removeQuick = (name: string) =>
      stack.processorWith(quick, 'consumers', 'remove', name, '--yes');
    expect((await removeQuick('gone')).stderr).toContain('it holds entries');
    expect((await removeQuick('nobody')).stderr).toContain('no such consumer');
    expect((await removeQuick('idle')).code).toBe(0);

    const { stdout } = await stack.processor('consumers', 'list', '--json');
    expect(JSON.parse(stdout).consumers).toMatchObject([{ name: 'gone', pending: 5 }]);
    expect((await stack.processor('consumers', 'list')).stdout).toMatch(/^CONSUMER +PENDING/);
    expect(await auditCommands()).toEqual(['consumers remove']);
  });
});
