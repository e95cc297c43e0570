import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Redis } from 'ioredis';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type LocalServer, startPostgres } from '../../tools/servers/servers.ts';
import { temporaryPrefix } from '../../tools/servers/system-user.ts';
import { eventually, type RunningService, startService } from '../../tools/service.ts';
import { ask, denied, hasPsql, needsPsql, outcomeOf } from '../security/roles.ts';
import { environmentHere, type Places, runProcessorHere, runServiceHere } from './compose/here.ts';
import { readCompose, serviceOf } from './compose/read.ts';
import { type ComposeRedis, startComposeRedis } from './compose/redis.ts';

const repository = fileURLToPath(new URL('../..', import.meta.url));
const file = readCompose(readFileSync(join(repository, 'compose.yaml'), 'utf8'), { USER: 'anna' });
const stream = 'telemetry:teltonika';

// The steps of `docker compose up`, by the compose file's own commands, environments and secrets,
// with real servers on this machine in place of containers.
describe.skipIf(!hasPsql())('the steps of compose.yaml', { meta: { needs: needsPsql } }, () => {
  let secrets: string;
  let redis: ComposeRedis;
  let postgres: LocalServer;
  let places: Places;
  let service: RunningService;
  let looking: Redis;

  const passwordOf = (name: string) => readFileSync(join(secrets, `${name}_password`), 'utf8');
  const urlOf = (role: string, secret: string) =>
    `postgres://${role}:${passwordOf(secret)}@127.0.0.1:${postgres.port}/telemetry`;
  const cli = (...words: string[]) => runProcessorHere(serviceOf(file, 'cli'), places, words);

  beforeAll(async () => {
    secrets = await mkdtemp(temporaryPrefix('secrets'));
    execFileSync(join(repository, 'deploy/make-secrets'), [secrets]);
    redis = await startComposeRedis(serviceOf(file, 'redis'), secrets);
    await eventually('Redis is healthy', async () => (await redis.isHealthy()) || undefined);
    postgres = await startPostgres();
    // As the image does at its first start.
    const { POSTGRES_USER: user, POSTGRES_DB: database } =
      serviceOf(file, 'timescaledb').environment ?? {};
    await ask(
      postgres.url,
      `CREATE ROLE ${user} SUPERUSER LOGIN PASSWORD '${passwordOf('postgres')}'`,
      `CREATE DATABASE ${database}`,
    );
    places = { secrets, redisPort: redis.port, postgresPort: postgres.port };
    // The servers of the first compose file: the superuser migrated, and owns the tables.
    await runProcessorHere(
      { ...serviceOf(file, 'cli'), environment: { POSTGRES_URL: urlOf('processor', 'postgres') } },
      places,
      ['migrate', 'up', '--yes'],
    );
    looking = new Redis(redis.port, {
      username: 'processor-operator',
      password: passwordOf('redis_operator'),
      disableClientInfo: true,
    });
  });
  afterAll(async () => {
    await service?.end('SIGKILL');
    looking?.disconnect();
    await postgres?.stop();
    await redis?.close();
    await rm(secrets, { recursive: true });
  });

  test('make the roles, also in a volume of before, and again at every start', async () => {
    await runServiceHere(serviceOf(file, 'roles'), places);
    await runServiceHere(serviceOf(file, 'roles'), places);

    const owner = await ask(
      urlOf('processor', 'postgres'),
      `SELECT tableowner FROM pg_tables WHERE tablename = 'positions'`,
    );
    expect(owner).toEqual([{ tableowner: 'processor_migrator' }]);
    const reader = urlOf('processor_reader', 'postgres_reader');
    expect(await ask(reader, 'SELECT count(*)::int AS rows FROM public.positions')).toEqual([
      { rows: 0 },
    ]);
  });

  test('migrate as the migrator, in a container of its own and from that of the commands', async () => {
    expect(JSON.parse(await cli('migrate', 'status', '--json'))).toMatchObject({
      up_to_date: true,
    });
    expect(await cli('migrate', 'up', '--yes')).toContain('applied no migration');
    // The same from nothing, as in a volume that is new.
    await ask(
      urlOf('processor_migrator', 'postgres_migrator'),
      'DROP SCHEMA positions CASCADE',
      'DROP TABLE public.positions, public.processor_migrations',
    );
    await runServiceHere(serviceOf(file, 'roles'), places);
    const migrate = serviceOf(file, 'migrate');
    expect(await runProcessorHere(migrate, places, migrate.command ?? [])).toMatch(/^applied 0*1/);
  });

  test('run the service as the writer and as the user processor, fed by ingestion', async () => {
    const env = environmentHere(serviceOf(file, 'processor'), places);
    service = startService(env);
    await service.untilReady();
    const words = [
      'simulate',
      '--plain',
      '--json',
      '--records=2000',
      '--max-backlog=50000',
      '--live',
      '--yes',
    ];
    const said = await runProcessorHere(serviceOf(file, 'simulator'), places, words);
    const { records }: { records: number } = JSON.parse(said);

    await eventually('every record is stored', async () => {
      const stored = await service.metric('processor_records_total{outcome="inserted"}');
      return stored === records ? true : undefined;
    });
    const users = await ask(
      urlOf('processor', 'postgres'),
      `SELECT DISTINCT usename FROM pg_stat_activity WHERE application_name LIKE 'processor%'`,
    );
    expect(users).toEqual([{ usename: 'processor_writer' }]);
    expect(service.logs.filter(({ level }) => level === 'error')).toEqual([]);
  });

  test('pause and resume as the operator, who is in the audit', async () => {
    expect(await cli('pause', '--reason', 'a test', '--yes')).toContain('is paused');
    await eventually('consumption is paused', async () =>
      (await service.metric('processor_consumption_paused')) === 1 ? true : undefined,
    );
    expect(await cli('resume', '--yes')).toContain('it was paused by anna');
    await eventually('consumption goes on', async () =>
      (await service.metric('processor_consumption_paused')) === 0 ? true : undefined,
    );
    const words = ['pause', '--reason', 'a test', '--yes'];
    const asService = runProcessorHere(serviceOf(file, 'processor'), places, words);
    await expect(asService).rejects.toThrow('NOPERM');
    const [latest] = await looking.xrevrange(`${stream}:control:audit`, '+', '-', 'COUNT', 1);
    expect(latest?.[1]).toContain('anna');
  });

  test('leave the writer without a way to make a table, or to change a row', async () => {
    const writer = urlOf('processor_writer', 'postgres_writer');
    for (const statement of [
      'CREATE TABLE mine ()',
      'CREATE TEMPORARY TABLE mine ()',
      'CREATE TABLE positions.mine ()',
      'DELETE FROM public.positions',
      'UPDATE public.positions SET speed = 0',
      'DROP TABLE public.positions',
    ]) {
      expect([statement, await outcomeOf(writer, statement)]).toEqual([statement, denied]);
    }
  });

  test('let nobody in with the password of another', async () => {
    const wrong = urlOf('processor_writer', 'postgres_reader');
    expect(await outcomeOf(wrong, 'SELECT 1')).toBe('28P01');
    const reasons: string[] = [];
    const client = new Redis(redis.port, {
      username: 'processor-operator',
      password: passwordOf('redis_processor'),
      lazyConnect: true,
      retryStrategy: () => null,
    });
    client.on('error', ({ message }) => reasons.push(message));
    await client.connect().catch(() => undefined);
    client.disconnect();
    expect(reasons.join()).toContain('WRONGPASS');
  });

  test('leave nothing for the doctor to fail, nor anything it may not see', async () => {
    for (const name of ['processor', 'cli']) {
      const said = await runProcessorHere(serviceOf(file, name), places, ['doctor', '--json']);
      const { ok, checks }: { ok: boolean; checks: { name: string; state: string }[] } =
        JSON.parse(said);
      expect(ok).toBe(true);
      expect(checks.filter(({ state }) => state === 'unknown')).toEqual([]);
      expect(checks.find((check) => check.name === 'rights')?.state).toBe('ok');
    }
  });

  test('switch the domain on by DOMAIN, with a role that works the outbox', async () => {
    const domain = urlOf('processor_domain', 'postgres_domain');
    const { command = [], environment, ...migrate } = serviceOf(file, 'migrate');
    const switched = (to: string) =>
      runProcessorHere(
        { ...migrate, environment: { ...environment, DOMAIN: to } },
        places,
        command,
      );
    const many = async () =>
      (await ask<{ n: number }>(domain, 'SELECT count(*)::int AS n FROM positions.outbox'))[0]?.n;
    expect(environment).toMatchObject({ DOMAIN: 'off' });
    expect(await many()).toBe(0);

    await switched('on');
    expect(await many()).toBeGreaterThan(0);
    await ask(domain, 'DELETE FROM positions.outbox');
    expect(await outcomeOf(domain, 'DELETE FROM public.positions')).toBe(denied);
    await switched('off');
    expect(await many()).toBe(0);
  });

  test('leave the service without a way to migrate', async () => {
    const words = ['migrate', 'up', '--yes'];
    await ask(
      urlOf('processor_migrator', 'postgres_migrator'),
      'DELETE FROM public.processor_migrations WHERE version = 1',
    );
    const asService = runProcessorHere(serviceOf(file, 'processor'), places, words);
    await expect(asService).rejects.toThrow('42501');
  });

  test('stop in order', async () => {
    expect(await service.end('SIGTERM')).toBe(0);
  });
});
