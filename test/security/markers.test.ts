import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable, Writable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { Redis } from 'ioredis';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { runRehydrate } from '../../src/cli/device.ts';
import type { CliIo } from '../../src/cli/io.ts';
import { runMigrateStatus, runMigrateUp } from '../../src/cli/migrate.ts';
import { runPause, runResume } from '../../src/cli/pause.ts';
import { runRetention } from '../../src/cli/retention.ts';
import { formatProblems, loadConfig } from '../../src/config/load.ts';
import { eventually, type RunningService, startService } from '../integration/service.ts';
import { type FreshDatabase, freshDatabase } from '../servers/database.ts';
import { freePort } from '../servers/ports.ts';
import { type LocalServer, startRedis } from '../servers/servers.ts';
import { entry, stream } from './entries.ts';
import { deviceId, personalDataIn, place, secrets, secretsIn } from './markers.ts';
import { ask } from './roles.ts';

const program = fileURLToPath(new URL('../../src/processor.ts', import.meta.url));
const run = promisify(execFile);
type Env = Readonly<Record<string, string>>;
const throwing = fileURLToPath(new URL('fixtures/throwing.ts', import.meta.url));

/** An error that is retried, and that holds the row as PostgreSQL's own do. */
const failWithTheRow = [
  `CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS $$
   BEGIN RAISE EXCEPTION USING ERRCODE = '53100', MESSAGE = format('no room for "%s"', NEW),
     DETAIL = format('Failing row contains %s.', NEW), HINT = NEW::text; END $$`,
  'CREATE TRIGGER full_disk BEFORE INSERT ON positions FOR EACH ROW EXECUTE FUNCTION full_disk()',
];

describe('planted passwords, IMEIs and coordinates', () => {
  let dir: string;
  let redisServer: LocalServer;
  let redis: Redis;
  let database: FreshDatabase;
  let role: string;
  let running: RunningService[] = [];
  /** What was written, by where. */
  let written: Map<string, string>;

  beforeAll(async () => {
    dir = await mkdtemp(join(tmpdir(), 'processor-markers-'));
    redisServer = await startRedis();
    redis = new Redis(redisServer.url);
    await redis.config('SET', 'requirepass', secrets.redis);
    redis.disconnect();
    redis = new Redis(redisServer.port, { password: secrets.redis });
  });
  afterAll(async () => {
    redis.disconnect();
    await redisServer.stop();
    await rm(dir, { recursive: true });
  });
  beforeEach(async () => {
    await redis.flushall();
    database = await freshDatabase();
    role = `processor_test_marked_${database.url.slice(-12)}`;
    const password = secrets.postgres.replaceAll("'", "''");
    await ask(database.url, `CREATE ROLE ${role} LOGIN SUPERUSER PASSWORD '${password}'`);
    written = new Map();
  });
  afterEach(async () => {
    for (const service of running) await service.end('SIGKILL');
    running = [];
    await database.drop();
    const server = new URL(database.url);
    server.pathname = '/postgres';
    await ask(server.href, `DROP ROLE ${role}`);
  });

  function redisUrl(password: string | null, port = redisServer.port): string {
    const url = new URL(`redis://127.0.0.1:${port}`);
    if (password !== null) url.password = encodeURIComponent(password);
    return url.href;
  }

  function postgresUrl(password: string | null, port?: number): string {
    const url = new URL(database.url);
    url.username = role;
    url.password = password === null ? '' : encodeURIComponent(password);
    if (port !== undefined) url.port = String(port);
    return url.href;
  }

  const tracing = (port: number) => ({
    TRACING_ENDPOINT: `http://u:${encodeURIComponent(secrets.tracing)}@127.0.0.1:${port}/v1/traces`,
    TRACING_SAMPLE_PERCENT: '100',
  });

  function service(env: Readonly<Record<string, string>>): RunningService {
    const started = startService({ CONSUMER_NAME: 'one', READ_BLOCK_MS: '200', ...env });
    running.push(started);
    return started;
  }

  /** Everything that a service has written and shows. */
  async function collect(name: string, service: RunningService): Promise<void> {
    written.set(`${name}: logs`, service.logs.map((line) => JSON.stringify(line)).join('\n'));
    written.set(`${name}: stderr`, service.stderr());
    if (service.process.exitCode !== null || service.process.signalCode !== null) return;
    for (const path of ['metrics', 'health/live', 'health/ready', 'health/startup', 'nowhere']) {
      const answer = await fetch(`${await service.url()}/${path}`);
      const headers = JSON.stringify([...answer.headers]);
      written.set(`${name}: /${path}`, `${headers}${await answer.text()}`);
    }
  }

  function expectNothing(found: (text: string) => string[]): void {
    const places = [...written].map(([where, text]) => [where, found(text)] as const);
    expect(places.filter(([, markers]) => markers.length > 0)).toEqual([]);
  }

  /** Good, bad, conflicting, refused by the database, of no form at all; all of one device. */
  async function plant(): Promise<void> {
    const marked = { device_id: deviceId, ...place };
    const bodies = [
      marked,
      { ...marked, speed: 99 },
      { ...marked, latitude: 112.3456789 },
      { ...marked, longitude: '-98.7654321' },
      { ...marked, device_id: deviceId.slice(0, 14) },
      { ...marked, timestamp: `2026-11-01T00:00:00.000Z ${deviceId}` },
      { ...marked, attributes: { [deviceId]: place.latitude } },
      { ...marked, attributes: { 1: { __bigint: `${deviceId}x` } } },
      { ...marked, extra: place },
    ];
    for (const body of bodies) {
      await redis.xadd(stream, '*', ...withDevice(entry(0, body), deviceId));
    }
    await redis.xadd(stream, '*', ...withDevice(entry(0, marked), `${deviceId}9`));
    await redis.xadd(stream, '*', ...withDevice(entry(1, marked), deviceId.slice(0, 14)));
    const [, , , , , , , payload = ''] = entry(2, { ...marked, speed: 77 });
    for (const damaged of [
      payload.slice(0, -3),
      `${payload}${deviceId}`,
      `"${deviceId}"`,
      '[12.3456789]',
    ]) {
      const fields = withDevice(entry(2, marked), deviceId);
      fields[7] = damaged;
      await redis.xadd(stream, '*', ...fields);
    }
    await redis.xadd(stream, '*', ...withDevice(entry(3, { ...marked, speed: 77 }), deviceId));
    await redis.xadd(stream, '*', 'device_id', deviceId, 'frame_hex', `00000000${deviceId}`);
    await redis.xadd(stream, '*', deviceId, String(place.latitude));
  }

  /** The database itself refuses these, and says so with the whole row. */
  const refuse = () =>
    ask(database.url, 'ALTER TABLE positions ADD CONSTRAINT not_77 CHECK (speed <> 77)');

  const untilSettled = () =>
    eventually('everything has an outcome', async () => {
      const [group] = toLists(await redis.xinfo('GROUPS', stream));
      const field = (name: string) => group?.[group.indexOf(name) + 1];
      return field('pending') === 0 && field('lag') === 0 ? true : undefined;
    });

  async function lettersText(): Promise<string> {
    return JSON.stringify(await redis.xrange(`${stream}:dlq`, '-', '+'));
  }

  test.each([
    ['debug', 'in the URLs'],
    ['info', 'in files'],
  ])(
    'at level %s, with passwords %s: nothing shows them while entries come',
    async (level, where) => {
      const port = await freePort();
      const [redisFile, postgresFile] = [join(dir, 'redis'), join(dir, 'postgres')];
      await writeFile(redisFile, `${secrets.redis}\n`);
      await writeFile(postgresFile, `${secrets.postgres}\n`);
      const inFiles = where === 'in files';
      const one = service({
        LOG_LEVEL: level,
        REDIS_URL: redisUrl(inFiles ? null : secrets.redis),
        POSTGRES_URL: postgresUrl(inFiles ? null : secrets.postgres),
        ...(inFiles && { REDIS_PASSWORD_FILE: redisFile, POSTGRES_PASSWORD_FILE: postgresFile }),
        ...tracing(port),
      });
      await one.untilReady();
      await refuse();
      await plant();
      await untilSettled();
      await collect('running', one);
      // The servers fail under it, and come back.
      await ask(database.url, ...failWithTheRow);
      await redis.xadd(
        stream,
        '*',
        ...withDevice(entry(9, { device_id: deviceId, ...place }), deviceId),
      );
      await eventually('it is not ready', async () =>
        (await one.health('ready')) === 503 ? true : undefined,
      );
      await redis.call('CLIENT', 'KILL', 'TYPE', 'normal');
      await collect('failing', one);
      await ask(database.url, 'DROP TRIGGER full_disk ON positions');
      await one.untilReady();
      expect(await one.end('SIGTERM')).toBe(0);
      await collect('ended', one);

      const letters = await lettersText();
      expect(letters).toContain(deviceId);
      expect(letters).toMatch(/row_constraint_violated/);
      expect(letters).toMatch(/conflict/);
      expect(one.logs.length).toBeGreaterThan(5);
      written.set('dead letters', letters);
      expectNothing(secretsIn);
      written.delete('dead letters');
      expectNothing(personalDataIn);
    },
  );

  test('what a dead letter says of itself holds nothing of the entry', async () => {
    const one = service({
      REDIS_URL: redisUrl(secrets.redis),
      POSTGRES_URL: postgresUrl(secrets.postgres),
    });
    await one.untilReady();
    await refuse();
    await plant();
    await untilSettled();

    const letters = await redis.xrange(`${stream}:dlq`, '-', '+');
    expect(letters.length).toBeGreaterThan(10);
    for (const [id, fields] of letters) {
      const own = fields.filter((_, at) => {
        const name = fields[at - (at % 2)] ?? '';
        return !/^(f|cut|sha256):/.test(name);
      });
      written.set(`letter ${id}`, JSON.stringify(own));
    }
    expectNothing(personalDataIn);
  });

  test('passwords that are refused, and servers that are not there', async () => {
    const port = await freePort();
    const good = { redis: redisUrl(secrets.redis), postgres: postgresUrl(secrets.postgres) };
    const wrong = (secret: string) => `${secret}-wrong`;
    const cases: Readonly<Record<string, Env>> = {
      'wrong for Redis': { REDIS_URL: redisUrl(wrong(secrets.redis)), POSTGRES_URL: good.postgres },
      // The role does not exist: a server that trusts everybody refuses that too.
      'wrong for PostgreSQL': {
        REDIS_URL: good.redis,
        POSTGRES_URL: postgresUrl(wrong(secrets.postgres)).replace(role, `${role}_not`),
      },
      'nobody there': {
        REDIS_URL: redisUrl(secrets.redis, port),
        POSTGRES_URL: postgresUrl(secrets.postgres, port),
        MIGRATION_POSTGRES_URL: postgresUrl(secrets.postgres, port),
        MIGRATION_POSTGRES_PASSWORD: secrets.migration,
      },
      'Redis not there': { REDIS_URL: redisUrl(secrets.redis, port), POSTGRES_URL: good.postgres },
    };
    const started = Object.entries(cases).map(
      ([name, env]) => [name, service({ ...env, LOG_LEVEL: 'debug' })] as const,
    );
    for (const [name, one] of started) {
      await eventually(`${name} is told`, () =>
        one.logs.filter(({ level }) => level === 'warn' || level === 'error').length >= 2
          ? true
          : undefined,
      );
      await collect(name, one);
    }

    expectNothing(secretsIn);
  });

  test('a panic and its dump: payloads apart, nothing of them is in it', async () => {
    const one = service({
      REDIS_URL: redisUrl(secrets.redis),
      POSTGRES_URL: postgresUrl(secrets.postgres),
      MIGRATION_POSTGRES_URL: postgresUrl(secrets.postgres),
      PANIC_DIR: dir,
      NODE_OPTIONS: `--import=${throwing}`,
      PLANTED: encodeURIComponent(secrets.postgres),
    });
    await one.untilReady();
    const renamed = 'ALTER TABLE positions RENAME TO elsewhere';
    await ask(database.url, renamed);
    await redis.xadd(
      stream,
      '*',
      ...withDevice(entry(0, { device_id: deviceId, ...place }), deviceId),
    );
    await eventually('it is in flight', async () =>
      (await one.health('ready')) === 503 ? true : undefined,
    );

    expect(await one.end('SIGUSR2')).toBe(70);

    await collect('panic', one);
    const [name = ''] = (await readdir(dir)).filter((file) => file.startsWith('processor-panic-'));
    const text = await readFile(join(dir, name), 'utf8');
    const { payloads, ...rest } = JSON.parse(text);
    expect(payloads).toHaveLength(1);
    expect(rest.config.redis.url).toContain('127.0.0.1');
    written.set('dump', text);
    written.set(
      'payloads',
      payloads
        .map((one: { fields: { base64: string }[] }) =>
          one.fields.map(({ base64 }) => Buffer.from(base64, 'base64').toString()).join('\n'),
        )
        .join('\n'),
    );
    expect(personalDataIn(written.get('payloads') ?? '')).toHaveLength(3);
    expectNothing(secretsIn);
    written.delete('payloads');
    written.set('dump', JSON.stringify(rest));
    expectNothing(personalDataIn);
  });

  test('a configuration that is wrong is told without what is secret in it', async () => {
    const misplaced = postgresUrl(secrets.postgres);
    const file = join(dir, 'key.pem');
    await writeFile(file, `-----BEGIN PRIVATE KEY-----\n${secrets.postgres}\n`);
    const envs: readonly Env[] = [
      { POSTGRES_URL: `postgres//${secrets.postgres}@db/x` },
      { POSTGRES_URL: `${misplaced}?sslmode=${secrets.postgres}` },
      { POSTGRES_URL: `${misplaced}?sslmode=require&sslpassword=${secrets.postgres}` },
      { POSTGRES_URL: misplaced, REDIS_URL: `http://:${encodeURIComponent(secrets.redis)}@h` },
      {
        POSTGRES_URL: misplaced,
        REDIS_URL: `${redisUrl(secrets.redis)}?password=${secrets.redis}`,
      },
      { POSTGRES_URL: misplaced, CONSUMER_NAME: misplaced, LOG_LEVEL: redisUrl(secrets.redis) },
      {
        POSTGRES_URL: misplaced,
        POSTGRES_PASSWORD: secrets.postgres,
        POSTGRES_PASSWORD_FILE: misplaced,
      },
      { POSTGRES_URL: misplaced, POSTGRES_PASSWORD_FILE: misplaced, REDIS_CA_FILE: misplaced },
      { POSTGRES_URL: `${misplaced}?sslmode=verify-full`, POSTGRES_KEY_FILE: file },
      { POSTGRES_URL: misplaced, MIGRATION_POSTGRES_PASSWORD: secrets.migration },
      { POSTGRES_URL: misplaced, POSTGRES_PASSWORD: secrets.postgres.repeat(100) },
    ];
    for (const [index, env] of envs.entries()) {
      const result = loadConfig(env, {
        hostname: 'worker-7',
        readFile: (path) => readFileSync(path, 'utf8'),
      });
      expect(result.ok, String(index)).toBe(false);
      if (!result.ok) written.set(`configuration ${index}`, formatProblems(result.problems));
    }
    const one = service(Object.assign({}, ...envs));
    expect(await one.end('SIGCONT')).toBe(1);
    expect(one.stderr()).toContain('problem(s)');
    await collect('all of them', one);

    expectNothing(secretsIn);
  });

  test('commands that fail tell neither', async () => {
    const port = await freePort();
    const { PATH } = process.env;
    const good = {
      REDIS_URL: redisUrl(secrets.redis),
      POSTGRES_URL: postgresUrl(secrets.postgres),
    };
    const away = {
      REDIS_URL: redisUrl(secrets.redis, port),
      POSTGRES_URL: postgresUrl(secrets.postgres, port),
    };
    const refused = {
      REDIS_URL: redisUrl(`${secrets.redis}-wrong`),
      POSTGRES_URL: postgresUrl(secrets.postgres).replace(role, `${role}_not`),
    };
    const yes = { yes: true, dryRun: false, json: false };
    const plan = { ...good, RETENTION: '6y' };
    const commands: Readonly<Record<string, (io: (env: Env) => CliIo) => Promise<number>>> = {
      'pause, away': (io) => runPause(io(away), { ...yes, reason: 'test' }),
      'pause, refused': (io) => runPause(io(refused), { ...yes, reason: 'test' }),
      'resume, not confirmed': (io) => runResume(io(good), { ...yes, yes: false }),
      'rehydrate, away': (io) => runRehydrate(io(away), deviceId, yes),
      'rehydrate, refused': (io) => runRehydrate(io(refused), deviceId, yes),
      'rehydrate, no IMEI': (io) => runRehydrate(io(good), `${deviceId}9`, yes),
      'migrate status, away': (io) => runMigrateStatus(io(away), yes),
      'migrate status, refused': (io) => runMigrateStatus(io(refused), { json: true }),
      'migrate up, away': (io) => runMigrateUp(io(away), yes),
      'migrate up, not confirmed': (io) => runMigrateUp(io(good), { ...yes, yes: false }),
      'retention, nothing there': (io) => runRetention(io(plan), yes),
      'retention, away': (io) => runRetention(io({ ...away, RETENTION: '6y' }), yes),
      'wrong configuration': (io) =>
        runPause(io({ REDIS_URL: redisUrl(secrets.redis) }), { ...yes, reason: 'test' }),
    };
    for (const [name, command] of Object.entries(commands)) {
      let output = '';
      const sink = () =>
        new Writable({
          write(chunk, _encoding, done) {
            output += String(chunk);
            done();
          },
        });
      const { signal } = new AbortController();
      const io = (env: Env) => ({
        env,
        stdin: Readable.from([]),
        stdout: sink(),
        stderr: sink(),
        signal,
      });
      expect(await command(io), name).toBeGreaterThan(0);
      expect(output, name).not.toBe('');
      written.set(name, output);
    }
    await Promise.all(
      [
        [away, 'simulate', '--records', '1'] as const,
        [refused, 'simulate', '--records', '1'] as const,
        [good, 'simulate', '--records', 'many'] as const,
        [refused, 'device', 'rehydrate', deviceId, '--yes', '--nonsense'] as const,
      ].map(async ([env, ...words], index) => {
        const whole = [program, ...words];
        const ended = await run(process.execPath, whole, { env: { PATH, ...env } }).then(
          () => null,
          (error: { code: number; stdout: string; stderr: string }) => error,
        );
        expect(ended?.code, words.join(' ')).toBeGreaterThan(0);
        expect(ended?.stderr, words.join(' ')).not.toBe('');
        written.set(`program ${index}`, `${ended?.stdout}${ended?.stderr}`);
      }),
    );

    expectNothing(secretsIn);
    expectNothing(personalDataIn);
  });

  test('the search finds what it is to find', () => {
    const config = { url: redisUrl(secrets.redis), password: secrets.postgres };

    expect(secretsIn(JSON.stringify(config))).toEqual([secrets.redis, secrets.postgres]);
    expect(secretsIn(JSON.stringify(JSON.stringify(config)))).toHaveLength(2);
    expect(personalDataIn(`at 12.345679 ${deviceId.slice(0, 14)}x`)).toHaveLength(2);
  });
});

function withDevice(fields: string[], id: string): string[] {
  return fields.map((value, at) => (at === 1 ? id : value));
}

function toLists(reply: unknown): unknown[][] {
  return Array.isArray(reply) ? reply.filter(Array.isArray) : [];
}
