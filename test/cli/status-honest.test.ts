import pg from 'pg';
import { describe, expect, onTestFinished, test } from 'vitest';
import { eventually, type RunningService } from '../../tools/service.ts';
import { entryFields, stream, useStack } from './stack.ts';

const stack = useStack();
/** The service's own, so that the command knows how often a living instance asks. */
const env = { READ_BLOCK_MS: '200' };
let sent = 0;

async function send(count: number): Promise<void> {
  for (let index = 0; index < count; index += 1) {
    await stack.redis.xadd(stream, '*', ...entryFields(sent));
    sent += 1;
  }
}

async function started(...names: string[]): Promise<RunningService[]> {
  const services = names.map((name) => stack.service(name));
  for (const service of services) await service.untilReady();
  return services;
}

async function status(...words: string[]) {
  const { code, stdout, stderr } = await stack.processorWith(env, 'status', ...words);
  const findings = stdout.split('\n').filter((line) => /^[!x] /.test(line));
  return { code, stdout, stderr, findings };
}

const pendingOf = async () => {
  const [count, , , consumers] = await stack.redis.xpending(stream, 'processor');
  const held = new Map(
    (Array.isArray(consumers) ? consumers : []).map((pair) => [String(pair[0]), Number(pair[1])]),
  );
  return { count: Number(count), held };
};

const untilSettled = () =>
  eventually('everything is settled', async () => {
    const [group] = [await stack.redis.xinfo('GROUPS', stream)].flat();
    const text = JSON.stringify(group);
    return /"pending",0,/.test(text) && /"lag",0\]/.test(text) ? true : undefined;
  });

/** Sends in the background until the test ends. */
function keepSending(perSecond: number): void {
  const timer = setInterval(() => {
    send(Math.max(1, perSecond / 10)).catch(() => clearInterval(timer));
  }, 100);
  onTestFinished(() => clearInterval(timer));
}

/** Holds the table as a schema change of somebody else would. */
async function lockTable(): Promise<() => Promise<void>> {
  const client = new pg.Client(stack.env().POSTGRES_URL);
  await client.connect();
  await client.query('BEGIN');
  await client.query('LOCK TABLE public.positions IN ACCESS EXCLUSIVE MODE');
  return async () => client.end();
}

const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));
/** Longer than a living instance is ever silent while entries wait. */
const silentMs = 5500;

describe('status ends with 3 and says why', () => {
  test('when every instance was killed while entries wait', async () => {
    const services = await started('one', 'two');
    await send(4);
    await untilSettled();
    for (const service of services) await service.end('SIGKILL');
    await send(30);
    await pause(silentMs);

    const { code, findings } = await status();
    expect(code).toBe(3);
    expect(findings).toContainEqual(
      expect.stringMatching(/^! no instance reads: .* asked \d+s ago, and 30 entries wait$/),
    );
  });

  test('when the table is locked and pending entries are not written', async () => {
    await started('one');
    await send(4);
    await untilSettled();
    const unlock = await lockTable();
    await send(20);
    await eventually('the service holds entries', async () =>
      (await pendingOf()).count > 0 ? true : undefined,
    );
    const locked = await status();
    await unlock();

    expect(locked.code).toBe(3);
    expect(locked.findings).toContainEqual(
      expect.stringMatching(/^! pending entries do not move: \d+ held, none acknowledged in \d+s$/),
    );
    await untilSettled();
    expect(await status()).toMatchObject({ code: 0, findings: [] });
  });

  test('when one of two instances is dead and holds entries, and the other is healthy', async () => {
    const [one] = await started('one', 'two');
    const unlock = await lockTable();
    keepSending(50);
    await eventually('both hold entries', async () =>
      (await pendingOf()).held.size === 2 ? true : undefined,
    );
    await one?.end('SIGKILL');
    await unlock();
    await eventually('the other one works again', async () =>
      ((await pendingOf()).held.get('two') ?? 0) < 5 ? true : undefined,
    );
    await pause(silentMs);

    const { code, findings } = await status();
    expect(code).toBe(3);
    expect(findings).toEqual(
      expect.arrayContaining([
        expect.stringMatching(/^! one has been silent for \d+s and holds \d+ /),
      ]),
    );
  });

  test('when entries were lost by trimming, also after the service has counted them', async () => {
    await started('one');
    await send(4);
    await untilSettled();
    await stack.processor('pause', '--reason', 'the test trims', '--yes');
    await pause(1500);
    await send(20);
    await stack.redis.xtrim(stream, 'MAXLEN', 5);

    const paused = await status();
    expect(paused.code).toBe(3);
    expect(paused.findings).toContainEqual(
      expect.stringMatching(/^! 15 entries were trimmed before any instance read them$/),
    );
    await stack.processor('resume', '--yes');
    await untilSettled();
    const lost = await eventually('the loss is recorded', async () => {
      const found = await status();
      return found.code === 3 ? found : undefined;
    });
    expect(lost.findings).toEqual([
      expect.stringMatching(/^! 15 entries were lost, the last \d+m?s ago \(trimmed unread: 15\)/),
    ]);
  });

  test('while the stream is being trimmed under a group that nobody reads', async () => {
    const [one] = await started('one');
    await send(4);
    await untilSettled();
    await one?.end('SIGKILL');
    await send(40);
    await stack.redis.xtrim(stream, 'MAXLEN', 30);
    keepSending(20);
    const timer = setInterval(() => void stack.redis.xtrim(stream, 'MAXLEN', 30), 100);
    onTestFinished(() => clearInterval(timer));

    const { code, findings } = await status();
    expect(code).toBe(3);
    expect(findings).toContainEqual(
      expect.stringMatching(/^! unread entries are being trimmed now: \d+ in \d+s$/),
    );
  });

  test('when an instance that was named is not ready, with the reason', async () => {
    const [one] = await started('one');
    await stack.processor('pause', '--reason', 'planned work', '--yes');
    const url = `${await one?.url()}/metrics`;
    await eventually('it is not ready', async () =>
      (await one?.health('ready')) === 503 ? true : undefined,
    );

    const { code, findings, stdout } = await status('--metrics-url', url);
    expect(code).toBe(3);
    expect(findings).toContainEqual(
      expect.stringMatching(/^! 127\.0\.0\.1:\d+ is not ready: consumption paused by an operator$/),
    );
    expect(stdout).toMatch(/^127\.0\.0\.1:\d+ +not ready, breakers closed, /m);
  });

  test('before the stream exists, and before the group does', async () => {
    await stack.processor('migrate', 'up', '--yes');
    const none = await status();
    expect([none.code, none.stderr]).toEqual([3, '']);
    expect(none.findings).toEqual([expect.stringContaining(`the stream ${stream} does not exist`)]);
    await send(1);
    const noGroup = await status();
    expect(noGroup.code).toBe(3);
    expect(noGroup.findings).toEqual([
      expect.stringContaining(`the stream ${stream} has no group processor`),
    ]);
  });
});

describe('status ends with 0', () => {
  test('for a service that just started, is idle, and is busy; also for two', async () => {
    const services = await started('one', 'two');
    const urls = await Promise.all(services.map((service) => service.url()));
    const words = urls.flatMap((url) => ['--metrics-url', `${url}/metrics`]);
    const well = {
      code: 0,
      findings: [],
      stdout: expect.stringMatching(/ all is well\n$|^all is well\n$/m),
    };

    expect(await status(...words)).toMatchObject({ code: 0, findings: [] });
    await send(5);
    await untilSettled();
    await pause(silentMs);
    expect(await status(...words)).toMatchObject(well);
    keepSending(200);
    await pause(500);
    for (let sample = 0; sample < 4; sample += 1) {
      expect(await status(...(sample % 2 === 0 ? words : []))).toMatchObject(well);
    }
  });
});

test('status reports an instance that is gone, and ends with 1', async () => {
  const [one] = await started('one');
  const url = `${await one?.url()}/metrics`;
  await one?.end('SIGKILL');

  const { code, findings, stdout } = await status('--metrics-url', url);
  expect(code).toBe(1);
  expect(findings).toContain(`x ${url}: connection refused`);
  expect(stdout).toMatch(/^not well: .*1 part out of reach \(x\)$/m);
});
