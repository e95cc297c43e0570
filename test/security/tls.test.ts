import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { Redis } from 'ioredis';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { type Config, formatProblems, loadConfig } from '../../src/config/load.ts';
import { asDependencyError } from '../../src/db/errors.ts';
import { openDatabase } from '../../src/db/pool.ts';
import { createPrimaryFinder } from '../../src/stream/primary-finder.ts';
import { createConnection, openRedis } from '../../src/stream/redis.ts';
import { childEnvironment } from '../../tools/child-environment.ts';
import { programFile } from '../../tools/program.ts';
import { askPostgres } from '../../tools/servers/ask.ts';
import { freePort } from '../../tools/servers/ports.ts';
import { type LocalServer, startPostgres, startRedis } from '../../tools/servers/servers.ts';
import { eventually, startService } from '../../tools/service.ts';
import { silent } from '../db/positions.ts';
import { type Authority, type Certificate, makeCertificates } from './certificates.ts';
import { entry, stream } from './entries.ts';

const run = promisify(execFile);
/** The second where the server sends its authority's certificate along, as Redis does. */
const untrusted = /UNABLE_TO_VERIFY_LEAF_SIGNATURE|SELF_SIGNED_CERT_IN_CHAIN/;

describe('TLS to real servers', () => {
  /** What a `beforeAll` that failed half way has made is removed as well. */
  const made = new AsyncDisposableStack();
  let ours: Authority;
  let theirs: Authority;
  let good: Certificate;
  let expired: Certificate;
  let client: Certificate;
  let redis: LocalServer;
  let redisTlsPort: number;
  let admin: Redis;
  let postgres: LocalServer;

  beforeAll(async () => {
    const certificates = await makeCertificates();
    made.defer(certificates.remove);
    ours = await certificates.authority('ours');
    theirs = await certificates.authority('theirs');
    // Not for 127.0.0.1, where the servers answer just as well.
    good = await ours.issue('good', 'DNS:localhost');
    expired = await ours.issue('expired', 'DNS:localhost', 'expired');
    client = await ours.issue('client', 'DNS:client');
    redisTlsPort = await freePort();
    const files = ['--tls-cert-file', good.cert, '--tls-key-file', good.key];
    const authority = ['--tls-ca-cert-file', ours.ca, '--tls-auth-clients', 'no'];
    const port = ['--tls-port', String(redisTlsPort)];
    redis = await startRedis({ args: [...port, ...files, ...authority] });
    made.defer(redis.stop);
    postgres = await startPostgres();
    made.defer(postgres.stop);
    admin = new Redis(redis.url);
    made.defer(() => admin.disconnect());
  });
  afterAll(() => made.disposeAsync());

  /** Settings that PostgreSQL takes up at a reload. */
  async function alterPostgres(settings: Readonly<Record<string, string>>): Promise<void> {
    for (const [name, value] of Object.entries(settings)) {
      await askPostgres(postgres.url, `ALTER SYSTEM SET ${name} = '${value}'`);
    }
    await askPostgres(postgres.url, 'SELECT pg_reload_conf()');
    await eventually('the settings are effective', async () => {
      for (const [name, value] of Object.entries(settings)) {
        const row = await askPostgres<{ is: string }>(
          postgres.url,
          `SELECT current_setting('${name}') AS is`,
        );
        if (row?.is !== value) return undefined;
      }
      return true;
    });
  }

  async function show({ cert, key }: Certificate): Promise<void> {
    await admin.config('SET', 'tls-cert-file', cert, 'tls-key-file', key);
    await alterPostgres({ ssl_cert_file: cert, ssl_key_file: key, ssl: 'on' });
  }

  /** What a user would set: TLS to `host`, trusting `ca`. */
  function tlsTo(host: string, ca: string | null) {
    const url = new URL(postgres.url);
    url.hostname = host;
    url.search = 'sslmode=verify-full';
    return {
      REDIS_URL: `rediss://${host}:${redisTlsPort}`,
      POSTGRES_URL: url.href,
      ...(ca !== null && { REDIS_CA_FILE: ca, POSTGRES_CA_FILE: ca }),
    };
  }

  function configOf(env: Readonly<Record<string, string>>): Config {
    const result = loadConfig(env, {
      hostname: 'test',
      readFile: (path) => readFileSync(path, 'utf8'),
    });
    if (!result.ok) throw new Error(formatProblems(result.problems));
    return result.config;
  }

  /** The local port that Redis answers us on. */
  async function pingRedis(env: Readonly<Record<string, string>>): Promise<string> {
    const config = configOf(env).redis;
    const named = {
      ...config,
      primaries: createPrimaryFinder(config),
      key: 'x',
      connectionName: 'processor:test',
      onReconnect: () => {},
    };
    const connection = createConnection(() => openRedis(named, silent));
    try {
      const connected = await connection.ready();
      return /laddr=\S*:(\d+)/.exec(String(await connected.client('INFO')))?.[1] ?? '';
    } finally {
      connection.close();
    }
  }

  /** Whether PostgreSQL says that our connection is encrypted. */
  async function askTls(env: Readonly<Record<string, string>>): Promise<boolean> {
    const { url, tls } = configOf(env).database;
    const times = { connectTimeoutMs: 5000, statementTimeoutMs: 5000, lockTimeoutMs: 5000 };
    const options = { url, tls, ...times, deadlineMs: 6000, size: 1, applicationName: 'test' };
    const database = openDatabase(options, silent);
    try {
      const { rows } = await database.use((connection) =>
        connection.query<{ ssl: boolean }>(
          'SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()',
        ),
      );
      return rows[0]?.ssl ?? false;
    } catch (error) {
      throw asDependencyError(error);
    } finally {
      await database.close(1000);
    }
  }

  async function expectBothRefused(env: Readonly<Record<string, string>>, code: RegExp) {
    const refusal = { kind: 'configuration', code: expect.stringMatching(code) };
    await expect(pingRedis(env)).rejects.toMatchObject({ ...refusal, dependency: 'redis' });
    await expect(askTls(env)).rejects.toMatchObject({ ...refusal, dependency: 'database' });
  }

  test('a server that speaks plain text only is not spoken to', async () => {
    const plain = `rediss://localhost:${redis.port}`;
    const env = { ...tlsTo('localhost', ours.ca), REDIS_CONNECT_TIMEOUT_MS: '500' };

    // It waits for the end of what it takes for a command.
    await expect(pingRedis({ ...env, REDIS_URL: plain })).rejects.toMatchObject({
      kind: 'unavailable',
      code: 'ETIMEDOUT',
    });
    await expect(askTls(env)).rejects.toMatchObject({
      kind: 'unavailable',
      cause: { message: 'The server does not support SSL connections' },
    });
  });

  test('with the right authority both are spoken to, encrypted', async () => {
    await show(good);
    const env = tlsTo('localhost', ours.ca);

    expect(await pingRedis(env)).toBe(String(redisTlsPort));
    expect(await askTls(env)).toBe(true);
  });

  test('a certificate for another host is refused, also when the host is an address', async () => {
    await show(good);

    await expectBothRefused(tlsTo('127.0.0.1', ours.ca), /ERR_TLS_CERT_ALTNAME_INVALID/);
  });

  test('of several hosts each one needs a certificate for its own name', async () => {
    await show(good);
    const { POSTGRES_CA_FILE, POSTGRES_URL } = tlsTo('localhost', ours.ca);
    const otherPort = await freePort();
    const list = (hosts: string) => ({
      POSTGRES_URL: POSTGRES_URL.replace(/@[^/]*/, `@${hosts}`),
      ...(POSTGRES_CA_FILE !== undefined && { POSTGRES_CA_FILE }),
    });

    expect(await askTls(list(`127.0.0.1:${postgres.port},localhost:${postgres.port}`))).toBe(true);
    const wrong = list(`127.0.0.1:${postgres.port},[::ffff:127.0.0.1]:${postgres.port}`);
    await expect(askTls(wrong)).rejects.toMatchObject({
      kind: 'configuration',
      code: 'ERR_TLS_CERT_ALTNAME_INVALID',
      message: expect.stringMatching(
        /127.0.0.1:\d+ ERR_TLS.*POSTGRES_CA_FILE.*\[::ffff:7f00:1\]:\d+ /,
      ),
    });
    await expect(
      askTls(list(`127.0.0.1:${postgres.port},localhost:${otherPort}`)),
    ).rejects.toMatchObject({ kind: 'unavailable', code: 'NO_PRIMARY' });
  });

  test('a certificate for the address itself is taken', async () => {
    await show(await ours.issue('address', 'IP:127.0.0.1'));
    const env = tlsTo('127.0.0.1', ours.ca);

    expect(await pingRedis(env)).toBe(String(redisTlsPort));
    expect(await askTls(env)).toBe(true);
  });

  test.each([
    ['another authority', () => theirs.ca],
    ['those that Node.js brings', () => null],
  ])('trusting %s, the certificate is refused', async (_name, ca) => {
    await show(good);

    await expectBothRefused(tlsTo('localhost', ca()), untrusted);
  });

  test('an expired certificate is refused', async () => {
    await show(expired);

    await expectBothRefused(tlsTo('localhost', ours.ca), /CERT_HAS_EXPIRED/);
  });

  test('NODE_TLS_REJECT_UNAUTHORIZED=0 and PGSSLMODE=no-verify change nothing', async () => {
    await show(good);
    onTestFinished(() => {
      delete process.env.NODE_TLS_REJECT_UNAUTHORIZED;
      delete process.env.PGSSLMODE;
    });
    process.env.NODE_TLS_REJECT_UNAUTHORIZED = '0';
    process.env.PGSSLMODE = 'no-verify';

    await expectBothRefused(tlsTo('localhost', theirs.ca), untrusted);
  });

  describe('servers that require a client certificate', () => {
    beforeAll(async () => {
      await show(good);
      await admin.config('SET', 'tls-auth-clients', 'yes');
      const rules = 'hostssl all all samehost scram-sha-256 clientcert=verify-ca';
      const ofTests = 'hostnossl all all samehost scram-sha-256';
      await writeFile(join(postgres.dir, 'data', 'pg_hba.conf'), `${rules}\n${ofTests}\n`);
      await alterPostgres({ ssl_ca_file: ours.ca });
    });

    const files = () => ({
      ...tlsTo('localhost', ours.ca),
      REDIS_CERT_FILE: client.cert,
      REDIS_KEY_FILE: client.key,
      POSTGRES_CERT_FILE: client.cert,
      POSTGRES_KEY_FILE: client.key,
    });

    test('get it, and refuse who has none', async () => {
      expect(await pingRedis(files())).toBe(String(redisTlsPort));
      expect(await askTls(files())).toBe(true);

      await expect(pingRedis(tlsTo('localhost', ours.ca))).rejects.toMatchObject({
        dependency: 'redis',
      });
      await expect(askTls(tlsTo('localhost', ours.ca))).rejects.toMatchObject({ code: '28000' });
    });

    test('the whole service runs over TLS to both, and so do commands', async () => {
      const env = { ...files(), CONSUMER_NAME: 'one', TIMESCALEDB: 'optional' };
      const service = startService(env);
      onTestFinished(async () => {
        await service.end('SIGKILL');
      });
      await service.untilReady();
      for (let index = 0; index < 50; index += 1) await admin.xadd(stream, '*', ...entry(index));
      await admin.xadd(stream, '*', 'nonsense', 'x');

      await eventually('all is stored', async () =>
        (await service.metric('processor_records_total{outcome="inserted"}')) === 50
          ? true
          : undefined,
      );
      await eventually('the dead letter is written', async () =>
        (await admin.xlen(`${stream}:dlq`)) === 1 ? true : undefined,
      );
      const clients = String(await admin.client('LIST')).split('\n');
      const ports = clients
        .filter((line) => line.includes('name=processor:one'))
        .map((line) => /laddr=\S*:(\d+)/.exec(line)?.[1]);
      expect(new Set(ports)).toEqual(new Set([String(redisTlsPort)]));
      expect(ports.length).toBeGreaterThan(1);
      const encrypted = await askPostgres(
        postgres.url,
        `SELECT bool_and(ssl) AS all, count(*)::int > 0 AS any FROM pg_stat_ssl
           JOIN pg_stat_activity USING (pid) WHERE application_name = 'processor:one'`,
      );
      expect(encrypted).toEqual({ all: true, any: true });

      const words = (...command: string[]) =>
        run(process.execPath, [programFile(), ...command], {
          env: { ...childEnvironment(), ...env },
        });
      expect((await words('migrate', 'status')).stdout).toContain('applied');
      expect((await words('pause', '--reason', 'test', '--yes')).stdout).toContain('is paused');
      expect(await service.end('SIGTERM')).toBe(0);
    });
  });
});
