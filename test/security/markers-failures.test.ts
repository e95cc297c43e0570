import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Readable, Writable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { describe, expect, test } from 'vitest';
import { runRehydrate } from '../../src/cli/device-rehydrate.ts';
import type { CliIo } from '../../src/cli/io.ts';
import { runMigrateStatus, runMigrateUp } from '../../src/cli/migrate.ts';
import { runPause } from '../../src/cli/pause.ts';
import { runResume } from '../../src/cli/resume.ts';
import { runRetention } from '../../src/cli/retention.ts';
import { formatProblems, loadConfig } from '../../src/config/load.ts';
import { childEnvironment } from '../../tools/child-environment.ts';
import { programFile } from '../../tools/program.ts';
import { freePort } from '../../tools/servers/ports.ts';
import { eventually } from '../../tools/service.ts';
import { entryOf, stream } from './entries.ts';
import { useMarkedServers } from './marked-servers.ts';
import { deviceId, personalDataIn, place, secrets, secretsIn } from './markers.ts';
import { ask } from './roles.ts';

const throwing = fileURLToPath(new URL('fixtures/throwing.ts', import.meta.url));
const run = promisify(execFile);
type Env = Readonly<Record<string, string>>;

describe('passwords, IMEIs and coordinates, when something fails', () => {
  const stand = useMarkedServers();
  const { redisUrl, postgresUrl, strangersUrl, service, collect, expectNothing } = stand;

  test('passwords that are refused, and servers that are not there', async () => {
    const port = await freePort();
    const good = { redis: redisUrl(secrets.redis), postgres: postgresUrl(secrets.postgres) };
    const wrong = (secret: string) => `${secret}-wrong`;
    const cases: Readonly<Record<string, Env>> = {
      'wrong for Redis': { REDIS_URL: redisUrl(wrong(secrets.redis)), POSTGRES_URL: good.postgres },
      // The role does not exist: a server that trusts everybody refuses that too.
      'wrong for PostgreSQL': {
        REDIS_URL: good.redis,
        POSTGRES_URL: strangersUrl(wrong(secrets.postgres)),
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
      await eventually(`${name} is reported`, () =>
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
      PANIC_DIR: stand.dir,
      NODE_OPTIONS: `--import=${throwing}`,
      PLANTED: encodeURIComponent(secrets.postgres),
    });
    await one.untilReady();
    const renamed = 'ALTER TABLE public.positions RENAME TO elsewhere';
    await ask(stand.databaseUrl, renamed);
    await stand.redis.xadd(stream, '*', ...entryOf(deviceId, 0, { device_id: deviceId, ...place }));
    await eventually('it is in flight', async () =>
      (await one.health('ready')) === 503 ? true : undefined,
    );

    expect(await one.end('SIGUSR2')).toBe(70);

    await collect('panic', one);
    const [name = ''] = (await readdir(stand.dir)).filter((file) =>
      file.startsWith('processor-panic-'),
    );
    const text = await readFile(join(stand.dir, name), 'utf8');
    const { payloads, ...rest } = JSON.parse(text);
    expect(payloads).toHaveLength(1);
    expect(rest.config.redis.url).toContain('127.0.0.1');
    stand.written.set('dump', text);
    stand.written.set(
      'payloads',
      payloads
        .map((one: { fields: { base64: string }[] }) =>
          one.fields.map(({ base64 }) => Buffer.from(base64, 'base64').toString()).join('\n'),
        )
        .join('\n'),
    );
    expect(personalDataIn(stand.written.get('payloads') ?? '')).toHaveLength(3);
    expectNothing(secretsIn);
    stand.written.delete('payloads');
    stand.written.set('dump', JSON.stringify(rest));
    expectNothing(personalDataIn);
  });

  test('an invalid configuration is reported without its secrets', async () => {
    const misplaced = postgresUrl(secrets.postgres);
    const file = join(stand.dir, 'key.pem');
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
      { POSTGRES_URL: misplaced, DOMAIN_POSTGRES_PASSWORD: secrets.domain },
      { POSTGRES_URL: misplaced, POSTGRES_PASSWORD: secrets.postgres.repeat(100) },
    ];
    for (const [index, env] of envs.entries()) {
      const result = loadConfig(env, {
        hostname: 'worker-7',
        readFile: (path) => readFileSync(path, 'utf8'),
      });
      expect(result.ok, String(index)).toBe(false);
      if (!result.ok) stand.written.set(`configuration ${index}`, formatProblems(result.problems));
    }
    const one = service(Object.assign({}, ...envs));
    expect(await one.end('SIGCONT')).toBe(1);
    expect(one.stderr()).toContain('problem(s)');
    await collect('all of them', one);

    expectNothing(secretsIn);
  });

  test('commands that fail tell neither', async () => {
    const port = await freePort();
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
      POSTGRES_URL: strangersUrl(secrets.postgres),
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
      stand.written.set(name, output);
    }
    await Promise.all(
      [
        [away, 'simulate', '--records', '1'] as const,
        [refused, 'simulate', '--records', '1'] as const,
        [good, 'simulate', '--records', 'many'] as const,
        [refused, 'device', 'rehydrate', deviceId, '--yes', '--nonsense'] as const,
        ...[away, refused].flatMap((env) => [
          [env, 'status'] as const,
          [env, 'pending', 'list'] as const,
          [env, 'pending', 'claim', '--consumer', 'gone', '--yes'] as const,
          [env, 'consumers', 'list'] as const,
          [env, 'dlq', 'list'] as const,
          [env, 'dlq', 'replay', '--yes'] as const,
          [env, 'device', 'show', deviceId] as const,
          [env, 'verify'] as const,
        ]),
      ].map(async ([env, ...words], index) => {
        const whole = [programFile(), ...words];
        const ended = await run(process.execPath, whole, {
          env: { ...childEnvironment(), ...env },
        }).then(
          () => null,
          (error: { code: number; stdout: string; stderr: string }) => error,
        );
        expect(ended?.code, words.join(' ')).toBeGreaterThan(0);
        // `status` tells what it cannot reach as its result.
        expect(`${ended?.stdout}${ended?.stderr}`, words.join(' ')).not.toBe('');
        stand.written.set(`program ${index}`, `${ended?.stdout}${ended?.stderr}`);
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
