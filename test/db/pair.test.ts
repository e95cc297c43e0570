import pg from 'pg';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { runDoctor } from '../../src/cli/doctor.ts';
import type { CliIo } from '../../src/cli/io.ts';
import { runMigrateStatus } from '../../src/cli/migrate.ts';
import { asDependencyError } from '../../src/db/errors.ts';
import { migrate } from '../../src/db/migrator.ts';
import { type Database, openDatabase } from '../../src/db/pool.ts';
import { askPostgres } from '../../tools/servers/ask.ts';
import { freePort } from '../../tools/servers/ports.ts';
import {
  type PairMember,
  type PostgresPair,
  startPostgresPair,
} from '../../tools/servers/postgres-pair.ts';
import { eventually } from '../../tools/service.ts';
import { inProcess } from '../cli/in-process.ts';
import { redisUrl } from '../setup/database.ts';
import { migrateOptions, migrations, silent } from './positions.ts';

let pair: PostgresPair;
beforeAll(async () => {
  pair = await startPostgresPair();
  await askPostgres(pair.one.server.url, 'CREATE DATABASE telemetry');
});
afterAll(() => pair.stop());

/** A pool as the service opens it. */
function open(url: string, times: object = {}): Database {
  const database = openDatabase(
    {
      url,
      tls: null,
      applicationName: 'processor:test',
      size: 2,
      connectTimeoutMs: 10_000,
      statementTimeoutMs: 10_000,
      lockTimeoutMs: 5000,
      deadlineMs: 12_000,
      needsPrimary: true,
      ...times,
    },
    silent,
  );
  onTestFinished(() => database.close(1000));
  return database;
}

async function portOf(database: Database): Promise<number> {
  const { rows } = await database.use((client) =>
    client.query<{ port: string }>("SELECT current_setting('port') AS port"),
  );
  return Number(rows[0]?.port);
}

async function failureOf(database: Database) {
  const error = await portOf(database).then(
    () => null,
    (reason: unknown) => asDependencyError(reason),
  );
  if (error === null) throw new Error('it connected');
  return error;
}

function url(...order: readonly PairMember[]): string {
  return pair.url('telemetry', ...order);
}

/** A host of the list at which nothing listens. */
async function withDeadHost(list: string): Promise<string> {
  return list.replace('@', `@127.0.0.1:${await freePort()},`);
}

/** A command with the URL as POSTGRES_URL. */
function run(
  postgresUrl: string,
  command: (io: CliIo, flags: { json: boolean; strict: boolean }) => Promise<number>,
) {
  const env = { REDIS_URL: redisUrl(), POSTGRES_URL: postgresUrl };
  return inProcess(env, (io) => command(io, { json: false, strict: false }));
}

describe('a PostgreSQL primary with a standby', () => {
  test('is migrated through a list of hosts that names a dead host and the standby first', async () => {
    const list = await withDeadHost(url(pair.two, pair.one));

    const { applied } = await migrate(migrations, migrateOptions(list), silent);

    expect(applied).toHaveLength(migrations.length);
    await pair.untilReplayed(pair.one);
  });

  test('takes every connection of the pool at the primary, in either order', async () => {
    for (const order of [
      [pair.one, pair.two],
      [pair.two, pair.one],
    ]) {
      for (const target of ['', '?target_session_attrs=primary']) {
        const database = open(`${url(...order)}${target}`);
        const ports = await Promise.all([portOf(database), portOf(database)]);
        expect(ports).toEqual([pair.one.server.port, pair.one.server.port]);
      }
    }
  });

  test('may be named by Unix sockets and by addresses of IPv6 in brackets', async () => {
    const socket = encodeURIComponent(pair.socketFolder);
    const { one, two } = { one: pair.one.server.port, two: pair.two.server.port };
    for (const hosts of [
      `${socket}:${one}`,
      `${socket}:${two},${socket}:${one}`,
      `[::ffff:127.0.0.1]:${two},[::ffff:127.0.0.1]:${one}`,
    ]) {
      const list = url(pair.one).replace(/@[^/]*/, `@${hosts}`);
      expect(await portOf(open(list)), hosts).toBe(one);
    }
  });

  test('lets commands through a list of hosts', async () => {
    const list = await withDeadHost(url(pair.two, pair.one));

    const { code, stdout } = await run(list, runMigrateStatus);

    expect(stdout).toContain('applied');
    expect(code).toBe(0);
  });

  describe('is examined by doctor, which', () => {
    const doctor = async (postgresUrl: string) => (await run(postgresUrl, runDoctor)).stdout;

    test('names the primary, the standby and its lag, and warns of an asynchronous standby', async () => {
      const text = await doctor(url(pair.two, pair.one));

      expect(text).toMatch(
        /^ok +postgresql servers +127.0.0.1:\d+ is a standby, [\d.]+ k?B behind, 127.0.0.1:\d+ is the primary$/m,
      );
      expect(text).toMatch(/^ok +postgresql role +primary$/m);
      expect(text).toMatch(
        /^warning +replication +1 standby connected.*asynchronous.*synchronous_standby_names.*verify --resend/m,
      );
    });

    test('warns of a host that does not answer, and says when none takes writes', async () => {
      expect(await doctor(await withDeadHost(url(pair.one)))).toMatch(
        /^warning +postgresql servers +127.0.0.1:\d+ does not answer \(.*ECONNREFUSED.*cannot take over$/m,
      );
      const standbys = await doctor(await withDeadHost(url(pair.two)));
      expect(standbys).toMatch(
        /^failure +postgresql servers +.*is a standby: no server takes writes/m,
      );
      expect(standbys).toMatch(/^failure +database +.*STANDBY \(a standby\)/m);
    });

    test('says that a single host is a standby', async () => {
      const text = await doctor(url(pair.two));

      expect(text).toMatch(/^failure +postgresql role +this is a standby/m);
      expect(text).not.toMatch(/postgresql servers|replication/);
    });

    test('finds a synchronous standby with the rights of an ordinary role', async () => {
      await pair.synchronous(pair.one, true);
      onTestFinished(() => pair.synchronous(pair.one, false));
      const ask = (statement: string) => askPostgres(pair.one.server.url, statement);
      await ask("CREATE ROLE plain LOGIN PASSWORD 'plain'");
      await askPostgres(
        url(pair.one),
        'GRANT SELECT, INSERT ON ALL TABLES IN SCHEMA public TO plain',
      );
      const as = (list: string) => list.replace(/postgres:[0-9a-f]+@/, 'plain:plain@');

      const text = await doctor(as(url(pair.one, pair.two)));
      expect(text).toMatch(/^ok +postgresql servers +/m);
      expect(text).toMatch(
        /^ok +replication +1 standby connected, ANY 1 \(two\) is synchronous, synchronous_commit on$/m,
      );
      await ask('ALTER ROLE plain SET synchronous_commit = local');
      expect(await doctor(as(url(pair.one)))).toMatch(
        /^warning +replication +.*synchronous_commit is local, so a promoted standby may lack/m,
      );
    });
  });

  test('takes no write through the standby alone: unavailable with a target, else as ever', async () => {
    const alone = url(pair.two);

    expect(await failureOf(open(alone))).toMatchObject({ kind: 'configuration', code: 'STANDBY' });
    const targeted = await failureOf(open(`${alone}?target_session_attrs=read-write`));
    expect(targeted).toMatchObject({ kind: 'unavailable', code: 'STANDBY' });
    expect(targeted.message).toContain(`127.0.0.1:${pair.two.server.port} STANDBY (a standby)`);
  });

  test('names every host with its reason when none takes writes', async () => {
    const dead = await withDeadHost(url(pair.two));

    const failure = await failureOf(open(dead));

    expect(failure).toMatchObject({ kind: 'unavailable', code: 'NO_PRIMARY' });
    expect(failure.message).toMatch(
      /^database: none of the 2 servers takes writes: 127.0.0.1:\d+ ECONNREFUSED \(.*\), 127.0.0.1:\d+ STANDBY \(a standby\); promote a standby, or start the primary$/,
    );
  });

  test('reports a login that each host refuses as a mistake of the configuration', async () => {
    const list = url(pair.two, pair.one).replace(/:[0-9a-f]{32}@/, ':wrong@');

    const failure = await failureOf(open(list));

    expect(failure).toMatchObject({ kind: 'configuration', code: '28P01' });
    expect(failure.message).not.toContain('wrong');
    expect(failure.message).toMatch(/28P01 \(the password was refused.*28P01 \(/);
  });

  test('that is read-only is passed over with read-write, and named with primary', async () => {
    await askPostgres(
      pair.one.server.url,
      'ALTER DATABASE telemetry SET default_transaction_read_only = on',
    );
    onTestFinished(async () => {
      await askPostgres(
        pair.one.server.url,
        'ALTER DATABASE telemetry RESET default_transaction_read_only',
      );
    });
    const list = url(pair.one, pair.two);

    expect(await failureOf(open(list))).toMatchObject({ kind: 'unavailable', code: 'NO_PRIMARY' });
    expect(await failureOf(open(`${list}?target_session_attrs=primary`))).toMatchObject({
      kind: 'configuration',
      code: 'READ_ONLY',
    });
  });

  test('that hangs is left for the promoted standby, idle connections included', async () => {
    const times = { connectTimeoutMs: 1000, statementTimeoutMs: 2000, deadlineMs: 2500 };
    const database = open(url(pair.one, pair.two), times);
    await Promise.all([portOf(database), portOf(database)]);
    await pair.one.server.kill('SIGSTOP');
    expect(await failureOf(database)).toMatchObject({ kind: 'unavailable' });
    await pair.promote(pair.two);

    const failures: string[] = [];
    const port = () =>
      eventually('a server takes writes', () =>
        portOf(database).catch((error: Error) => void failures.push(error.message)),
      );
    expect(await port()).toBe(pair.two.server.port);
    // The connection that was idle meanwhile would have had to time out, too.
    expect(failures.filter((message) => message.includes('Query read timeout'))).toEqual([]);
    await pair.one.server.kill('SIGCONT');
    expect(await port()).toBe(pair.two.server.port);
  });

  test('is used again once the old primary is a standby of the new one', async () => {
    const database = open(url(pair.one, pair.two));
    await pair.rejoin(pair.one);

    expect(await portOf(database)).toBe(pair.two.server.port);
    const client = new pg.Client(pair.one.server.url);
    await client.connect();
    const { rows } = await client.query('SELECT pg_is_in_recovery() AS standby');
    await client.end();
    expect(rows).toEqual([{ standby: true }]);
  });
});
