import { execFile } from 'node:child_process';
import { connect as connectTcp } from 'node:net';
import { text } from 'node:stream/consumers';
import { promisify } from 'node:util';
import { Redis } from 'ioredis';
import {
  afterAll,
  afterEach,
  beforeAll,
  beforeEach,
  describe,
  expect,
  onTestFinished,
  test,
} from 'vitest';
import type { EntryId, Rejection } from '../../src/core/types.ts';
import { createAcknowledger } from '../../src/stream/acknowledger.ts';
import { makeEntry } from '../../src/stream/make-entry.ts';
import { childEnvironment } from '../../tools/child-environment.ts';
import { programFile } from '../../tools/program.ts';
import { eventually, type RunningService, startService } from '../../tools/service.ts';
import { type FreshDatabase, freshDatabase } from '../setup/database.ts';
import { type AclRedis, startAclRedis, type User, users } from './acl.ts';
import { entry, imei } from './entries.ts';

const run = promisify(execFile);
const stream = 'fleet:teltonika.1';
const group = 'processor';
/** The service's whole life and some twenty commands, each a process. */
const wholeLife = { timeout: 240_000 };
/** By a command itself, and by one inside a script, as 7.0 and later versions say it. */
const denied = /NOPERM|permission|can't (access|run)/;

describe('the users of deploy/redis/users.acl', () => {
  let acl: AclRedis;
  let database: FreshDatabase;
  let running: RunningService[] = [];

  beforeAll(async () => {
    acl = await startAclRedis(stream);
  });
  afterAll(() => acl.stop());
  beforeEach(async () => {
    await acl.admin.flushall();
    await acl.admin.config('RESETSTAT');
    await acl.denials();
    database = await freshDatabase();
  });
  afterEach(async () => {
    for (const service of running) await service.end('SIGKILL');
    running = [];
    await database.drop();
  });

  const envOf = (user: User) => ({
    REDIS_URL: acl.url(user),
    REDIS_PASSWORD: acl.password(user),
    REDIS_TELEMETRY_STREAM: stream,
    POSTGRES_URL: database.url,
    TIMESCALEDB: 'optional',
  });

  function service(name: string, changes: Readonly<Record<string, string>> = {}): RunningService {
    const quick = {
      READ_BLOCK_MS: '200',
      CLAIM_INTERVAL_MS: '200',
      CONSUMER_IDLE_LIMIT_MS: '1000',
    };
    const started = startService({
      ...envOf('processor'),
      CONSUMER_NAME: name,
      ...quick,
      CLAIM_THRESHOLD_MS: '1500',
      DRAIN_BUDGET_MS: '1400',
      INSERT_DEADLINE_MS: '1300',
      STATEMENT_TIMEOUT_MS: '1200',
      LOCK_TIMEOUT_MS: '500',
      ...changes,
    });
    running.push(started);
    return started;
  }

  async function processor(...words: string[]): Promise<string> {
    const env = { ...childEnvironment(), ...envOf('processor-operator') };
    return (await run(process.execPath, [programFile(), ...words], { env })).stdout;
  }

  /** Dead-letters an entry that is neither in the stream nor pending, and acknowledges it. */
  async function moveAway(
    client: Redis,
    number = 1000,
    deadLetterMaxEntries = 1000,
  ): Promise<void> {
    // Redis printed ids like it; this one is long gone.
    const id = `${number}-0` as EntryId;
    const held = makeEntry(id, [Buffer.from('nonsense'), Buffer.from('x')]);
    const options = {
      key: stream,
      group,
      deadLetterKey: `${stream}:dlq`,
      deadLetterMaxEntries,
      instance: 'test',
      maxFieldBytes: 1024,
      deadLetterStreamMaxBytes: 1_000_000,
    };
    const where = { message: 'test', recordIndex: null, offset: null };
    const rejection: Rejection = { stage: 'decode', reason: 'field_missing', ...where };
    const connected = () => Promise.resolve(client);
    const { moveRound, acknowledge } = createAcknowledger(connected, options, Date.now, {
      replaced() {},
    });
    const { failure } = await moveRound([{ entry: held, rejections: [rejection] }]);
    if (failure !== null) throw failure;
    // As after a failover: its history is not known, so a script compares it.
    await acknowledge([{ entry: held, isReplaced: false }]);
  }

  /** Commands that the user may use and nobody has used. */
  async function notUsed(user: User): Promise<string[]> {
    const used = await acl.admin.info('commandstats');
    const lines = String(await acl.admin.acl('LIST')).split(',user ');
    const rules = lines.find((line) => line.startsWith(`${user} `)) ?? '';
    const allowed = new Set([...rules.matchAll(/\+([a-z|]+)/g)].map(([, name = '']) => name));
    return [...allowed].filter((name) => !used.includes(`cmdstat_${name}:`)).sort();
  }

  const until = (series: string, service: RunningService, least = 1) =>
    eventually(`${series} is ${least}`, async () =>
      (await service.metric(series)) >= least ? true : undefined,
    );
  const logged = (service: RunningService, msg: string) =>
    eventually(`"${msg}" is logged`, () => service.logs.find((line) => line.msg === msg));
  const outcome = (name: string) => `processor_records_total{outcome="${name}"}`;

  test('suffice for the whole life of the service and of the commands', wholeLife, async () => {
    const ingestion = acl.connect('ingestion');
    onTestFinished(() => ingestion.disconnect());
    const send = async (from: number, count: number) => {
      for (let index = from; index < from + count; index += 1) {
        await ingestion.xadd(stream, 'MAXLEN', '~', 100_000, '*', ...entry(index));
      }
    };

    // Its start makes stream and group; what is bad goes to the dead letters.
    const first = service('one');
    await first.untilReady();
    await send(0, 20);
    await send(0, 1);
    await ingestion.xadd(stream, '*', 'nonsense', 'x');
    await until(outcome('dead_letter'), first);
    await until(outcome('duplicate'), first);
    await until(outcome('inserted'), first, 20);

    // Operators' switches.
    expect(await processor('pause', '--reason', 'test', '--yes')).toContain('is paused');
    await until('processor_consumption_paused', first);
    expect(await processor('resume', '--yes')).toContain('is resumed');
    expect(await processor('device', 'rehydrate', imei(0), '--yes')).toContain('requested');
    await until('processor_control_requests_total', first);
    expect(await processor('migrate', 'up', '--yes')).toContain('applied no migration');
    // With the service's own login, as in its container.
    expect(await acl.denials()).toEqual([]);
    await run(process.execPath, [programFile(), 'doctor'], {
      env: { ...childEnvironment(), ...envOf('processor') },
    });
    // It also tries what only the operator may read.
    await acl.denials();

    // Killed with work in hand; meanwhile the stream is trimmed beyond what it had.
    first.process.kill('SIGSTOP');
    await send(20, 10);
    await first.end('SIGKILL');
    await acl.admin.xreadgroup('GROUP', group, 'one', 'COUNT', 5, 'STREAMS', stream, '>');
    await acl.admin.xtrim(stream, 'MAXLEN', 2);

    // Another instance takes over, counts what was lost and removes the consumer.
    const second = service('two');
    await until('processor_consumers_removed_total', second);
    for (const what of ['before they were read', 'while pending']) {
      await logged(second, `entries were trimmed ${what}`);
    }
    await until(outcome('inserted'), second, 2);
    expect(await second.end('SIGTERM')).toBe(0);

    // An entry that was delivered often, and survived by nobody, is tried alone.
    await send(30, 1);
    await acl.admin.xreadgroup('GROUP', group, 'gone', 'STREAMS', stream, '>');
    const newest = (await acl.admin.xrevrange(stream, '+', '-', 'COUNT', 1))[0]?.[0] ?? '';
    const often = ['IDLE', '60000', 'RETRYCOUNT', '9'];
    await acl.admin.call('XCLAIM', stream, group, 'gone', '0', newest, ...often);
    const third = service('three');
    await until(outcome('inserted'), third);
    expect(await third.end('SIGTERM')).toBe(0);

    // What was trimmed while it was held still leaves its dead letter, once.
    const own = acl.connect('processor');
    onTestFinished(() => own.disconnect());
    await moveAway(own);
    await moveAway(own);
    expect(await acl.admin.xlen(`${stream}:dlq`)).toBe(2);
    // Beyond the limit the oldest is dropped.
    await moveAway(own, 1001, 2);
    expect(await acl.admin.xlen(`${stream}:dlq`)).toBe(2);

    expect(await acl.denials()).toEqual([]);
    // Nor is anything allowed that was not asked for; PING is for health checks, CLUSTER SLOTS for a cluster.
    expect(await notUsed('processor')).toEqual(['cluster|slots', 'ping']);
    expect(await acl.admin.xlen(`${stream}:control:audit`)).toBe(4);
    const pending = await acl.admin.xpending(stream, group);
    expect(pending[0]).toBe(0);
  });

  test("suffice for the operator's commands, and for no more", wholeLife, async () => {
    // Slow to help itself, so that the commands are first.
    const slow = { CLAIM_THRESHOLD_MS: '60000', CONSUMER_IDLE_LIMIT_MS: '900000' };
    const one = service('one', slow);
    await one.untilReady();
    await acl.admin.xadd(stream, '*', ...entry(0));
    await acl.admin.xadd(stream, '*', 'nonsense', 'x');
    await until(outcome('dead_letter'), one);
    await until(outcome('inserted'), one);
    await acl.admin.xgroup('CREATECONSUMER', stream, group, 'gone');

    expect(await processor('pause', '--reason', 'test', '--yes')).toContain('is paused');
    await until('processor_consumption_paused', one);
    // The read that was under way when it was paused ends after its block time.
    await new Promise((resolve) => setTimeout(resolve, 500));
    await acl.admin.xadd(stream, '*', ...entry(1));
    await acl.admin.xreadgroup('GROUP', group, 'dead', 'STREAMS', stream, '>');
    expect(await processor('pending', 'list')).toContain('dead');
    expect(await processor('resume', '--yes')).toContain('is resumed');
    const claim = ['pending', 'claim', '--consumer', 'dead', '--min-idle', '0', '--force', '--yes'];
    expect(await processor(...claim)).toContain('taken over');
    expect(await processor('consumers', 'list')).toContain('dead');
    await eventually('the consumer does not look alive', async () =>
      processor('consumers', 'remove', 'gone', '--yes').catch(() => undefined),
    );
    expect(await processor('device', 'rehydrate', imei(0), '--yes')).toContain('requested');
    expect(await processor('device', 'show', imei(0))).toContain('newest record');
    expect(await processor('status')).toContain('all is well');
    expect(await processor('verify')).toMatch(/^missing +0$/m);
    expect(await processor('dlq', 'stats')).toContain('1 counted of 1');
    expect(await processor('dlq', 'list')).toContain('field_missing');
    await processor('dlq', 'replay', '--yes').catch(() => undefined);
    expect(await processor('dlq', 'purge', '--all', '--yes')).toContain('1 dead letters deleted');
    expect(await processor('device', 'forget', imei(0), '--yes')).toContain('forgot');
    await processor('doctor');

    expect(await acl.denials()).toEqual([]);
  });

  test('let the operator end a script that does not end by itself', async () => {
    const client = acl.connect('processor');
    onTestFinished(() => client.disconnect());
    await client.ping();
    const endless = client.call('EVAL', 'while true do end', '1', stream);
    const outcome = endless.then(String, (error: Error) => error.message);
    const operator = acl.connect('processor-operator');
    onTestFinished(() => operator.disconnect());
    // Redis answers others only after busy-reply-threshold, by default 5 s.
    await acl.admin.ping().catch(() => undefined);
    const killed = await eventually('Redis ends the script', async () =>
      operator.call('SCRIPT', 'KILL').catch(() => undefined),
    );

    expect(killed).toBe('OK');
    expect(await outcome).toMatch(/killed/i);
    expect(await acl.admin.ping()).toBe('PONG');
  });

  const refused: Readonly<Record<User, readonly (readonly string[])[]>> = {
    processor: [
      ['XADD', stream, '*', 'a', 'b'],
      ['XTRIM', stream, 'MAXLEN', '0'],
      ['XDEL', stream, '1-1'],
      ['XGROUP', 'DESTROY', stream, group],
      ['XREAD', 'STREAMS', 'elsewhere', '0'],
      ['SET', `${stream}:control:paused`, 'x'],
      ['GETDEL', `${stream}:control:paused`],
      ['DEL', `${stream}:control:counter`],
      ['XADD', `${stream}:control:requests`, '*', 'a', 'b'],
      ['XADD', `${stream}:control:audit`, '*', 'a', 'b'],
      ['XRANGE', `${stream}:control:audit`, '-', '+'],
      ['XTRIM', `${stream}:dlq`, 'MAXLEN', '0'],
      ['EVAL', `return redis.call('XADD', KEYS[1], '*', 'a', 'b')`, '1', stream],
      ['EVAL', `return redis.call('DEL', KEYS[1])`, '1', stream],
      ['EVAL', `return redis.call('GET', 'elsewhere')`, '0'],
      ['EVAL', 'return 1', '1', 'elsewhere'],
      ['SCRIPT', 'FLUSH'],
    ],
    'processor-operator': [
      ['XTRIM', stream, 'MAXLEN', '0'],
      ['XGROUP', 'DESTROY', stream, group],
      ['XTRIM', `${stream}:dlq`, 'MAXLEN', '0'],
      ['XADD', `${stream}:dlq`, '*', 'a', 'b'],
      ['XREADGROUP', 'GROUP', group, 'x', 'STREAMS', stream, '>'],
      ['XACK', stream, group, '1-1'],
      ['XTRIM', `${stream}:control:audit`, 'MAXLEN', '0'],
      ['HSET', `${stream}:control:counter`, 'a', 'b'],
      ['SET', 'elsewhere', 'x'],
      ['EVAL', `return redis.call('DEL', KEYS[1])`, '1', stream],
      ['EVAL', `return redis.call('XACK', KEYS[1], 'processor', '1-1')`, '1', stream],
      ['EVAL', `return redis.call('GET', 'elsewhere')`, '0'],
    ],
    ingestion: [
      ['XADD', `${stream}:dlq`, '*', 'a', 'b'],
      ['XADD', `${stream}:control:requests`, '*', 'a', 'b'],
      ['XADD', 'elsewhere', '*', 'a', 'b'],
      ['XRANGE', stream, '-', '+'],
      ['XREAD', 'STREAMS', stream, '0'],
      ['XGROUP', 'CREATE', stream, 'other', '0'],
      ['XTRIM', stream, 'MAXLEN', '0'],
      ['SET', `${stream}:control:paused`, 'x'],
      ['EVAL', 'return 1', '0'],
    ],
  };
  const refusedToAll: readonly (readonly string[])[] = [
    ['FLUSHALL'],
    ['FLUSHDB'],
    ['KEYS', '*'],
    ['SCAN', '0'],
    ['SHUTDOWN'],
    ['CONFIG', 'GET', '*'],
    ['CONFIG', 'SET', 'dir', '/tmp'],
    ['ACL', 'LIST'],
    ['MONITOR'],
    ['DEL', stream],
    ['UNLINK', stream],
    ['RENAME', stream, 'x'],
    ['EXPIRE', stream, '1'],
    ['GET', 'elsewhere'],
    ['SET', stream, 'x'],
    ['CLIENT', 'LIST'],
    ['CLIENT', 'KILL', 'ID', '1'],
    ['SAVE'],
    ['REPLICAOF', 'NO', 'ONE'],
    ['MODULE', 'LIST'],
    ['SUBSCRIBE', 'x'],
    ['SELECT', '1'],
    ['FUNCTION', 'LIST'],
    ['DUMP', stream],
    ['SORT', stream],
    ['COPY', stream, 'x'],
    ['SWAPDB', '0', '1'],
    ['CLUSTER', 'NODES'],
    ['CLUSTER', 'RESET'],
  ];

  test.each(users)('%s is refused what it has no need of', async (user) => {
    await acl.admin.xadd(stream, '*', 'a', 'b');
    const client = acl.connect(user);
    onTestFinished(() => client.disconnect());

    for (const command of [...refusedToAll, ...refused[user]]) {
      const [name = '', ...words] = command;
      const answer = client.call(name, ...words);
      await expect(answer, command.join(' ')).rejects.toThrow(denied);
    }
    expect(await acl.admin.xlen(stream)).toBe(1);
  });

  test('nobody gets in without a password, or with a wrong one', async () => {
    const reasonFor = async (login: { username?: string; password?: string }) => {
      const options = { ...login, lazyConnect: true, retryStrategy: () => null };
      const client = new Redis(acl.server.port, options);
      const reasons: string[] = [];
      client.on('error', ({ message }) => reasons.push(message));
      await client
        .connect()
        .then(() => client.xlen(stream))
        .catch((e: Error) => reasons.push(e.message));
      client.disconnect();
      return reasons.join();
    };

    expect(await reasonFor({})).toMatch(/NOAUTH/);
    for (const username of [...users, 'default']) {
      for (const password of ['wrong', 'default', 'nopass', acl.password('processor')]) {
        if (password === acl.password('processor') && username === 'processor') continue;
        expect(await reasonFor({ username, password }), username).toMatch(/WRONGPASS/);
      }
      expect(await reasonFor({ username, password: '' }), username).toMatch(/WRONGPASS|NOAUTH/);
    }
  });

  test('no command runs before the login, though the user default has every right', async () => {
    for (const line of [
      'PING',
      `XLEN ${stream}`,
      'SET x y',
      'CONFIG GET *',
      'ACL LIST',
      'SUBSCRIBE x',
      'MULTI',
      'EVAL "return 1" 0',
      'SHUTDOWN NOSAVE',
      'HELLO 3',
      'SELECT 1',
      'CLIENT LIST',
      'REPLICAOF NO ONE',
      'MONITOR',
      'SYNC',
      'PSYNC ? -1',
      `RESET\r\nXLEN ${stream}`,
    ]) {
      expect(await answerOf(line), line).toMatch(/^(\+RESET\r\n)?-NOAUTH/);
    }
  });

  /** The answer to inline commands on a connection that nobody logged in on. */
  async function answerOf(line: string): Promise<string> {
    const socket = connectTcp(acl.server.port, '127.0.0.1');
    socket.end(`${line}\r\n`);
    return await text(socket);
  }

  test('a wrong password is reported by the service without its value', async () => {
    const one = service('one', { REDIS_PASSWORD: 'hunter2' });

    const line = await eventually('it is reported', () =>
      one.logs.find(({ code }) => code === 'WRONGPASS'),
    );
    expect(JSON.stringify([line, one.stderr()])).not.toContain('hunter2');
  });
});
