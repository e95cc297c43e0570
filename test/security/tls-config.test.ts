import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type ConfigResult, describeConfig, loadConfig } from '../../src/config/load.ts';
import {
  type Authority,
  type Certificate,
  type Certificates,
  makeCertificates,
} from './certificates.ts';

const postgresUrl = 'postgres://u:p@db.example/telemetry';

function load(env: Readonly<Record<string, string>>): ConfigResult {
  return loadConfig(
    { POSTGRES_URL: postgresUrl, ...env },
    { hostname: 'worker-7', readFile: (path) => readFileSync(path, 'utf8') },
  );
}

function problemsOf(env: Readonly<Record<string, string>>): string[] {
  const result = load(env);
  return result.ok ? [] : result.problems.map(({ variable, got }) => `${variable}: ${got}`);
}

const withMode = (query: string) => ({ POSTGRES_URL: `${postgresUrl}?${query}` });

describe('what a URL may ask of the transport', () => {
  test('without TLS in a URL the connection is in plain text', () => {
    expect(load({})).toMatchObject({ config: { redis: { tls: null }, database: { tls: null } } });
    expect(load(withMode('sslmode=disable'))).toMatchObject({
      config: { database: { tls: null } },
    });
  });

  test('rediss:// and sslmode=verify-full verify, whatever the environment of Node.js says', () => {
    const verified = { rejectUnauthorized: true, minVersion: 'TLSv1.2' };

    const result = load({
      REDIS_URL: 'REDISS://redis.example',
      ...withMode('sslmode=verify-full'),
    });

    expect(result).toMatchObject({
      config: { redis: { tls: verified }, database: { tls: verified, url: postgresUrl } },
    });
  });

  test.each(['allow', 'prefer', 'require', 'verify-ca', 'no-verify'])(
    'sslmode=%s is refused: it verifies less, or will with the next pg',
    (mode) => {
      expect(problemsOf(withMode(`sslmode=${mode}`))).toEqual([`POSTGRES_URL: sslmode=${mode}`]);
    },
  );

  test.each([
    'ssl=true',
    'ssl=no-verify',
    'ssl=0',
    'sslrootcert=/ca.pem',
    'sslmode=verify-full&sslcert=/c.pem',
    'sslmode=verify-full&sslkey=/k.pem',
    'sslnegotiation=direct',
    'uselibpqcompat=true&sslmode=verify-full',
    'SSLMODE=verify-full',
  ])('?%s is refused: another way to say how to verify', (query) => {
    expect(problemsOf(withMode(query))).toEqual(['POSTGRES_URL: a URL with a parameter about TLS']);
  });

  test('a second sslmode, which pg would take, is refused', () => {
    expect(problemsOf(withMode('sslmode=verify-full&sslmode=no-verify'))).toEqual([
      'POSTGRES_URL: more than one sslmode',
    ]);
  });

  test('an sslmode that is none is not repeated: it may be a part of a password', () => {
    expect(problemsOf(withMode('sslmode=hunter2'))).toEqual([
      'POSTGRES_URL: an sslmode that is none',
    ]);
  });

  test('both database URLs have the same sslmode', () => {
    const migration = { MIGRATION_POSTGRES_URL: 'postgres://m@db.example/telemetry' };

    expect(problemsOf({ ...migration, ...withMode('sslmode=verify-full') })).toEqual([
      'MIGRATION_POSTGRES_URL: another sslmode than in POSTGRES_URL',
    ]);
  });

  test('a query of a Redis URL is refused: ioredis takes it for options, before ours', () => {
    expect(problemsOf({ REDIS_URL: 'rediss://redis.example/0?tls=x' })).toEqual([
      'REDIS_URL: a URL with a query',
    ]);
  });

  test('NODE_TLS_REJECT_UNAUTHORIZED=0 is refused', () => {
    expect(problemsOf({ NODE_TLS_REJECT_UNAUTHORIZED: '0' })).toEqual([
      'NODE_TLS_REJECT_UNAUTHORIZED: 0',
    ]);
  });
});

describe('the password of the migrating role', () => {
  const migration = { MIGRATION_POSTGRES_URL: 'postgres://m@db.example/telemetry' };

  test('is that of the service, unless it has one of its own', () => {
    const both = { ...migration, POSTGRES_PASSWORD: 'one' };

    expect(load(both)).toMatchObject({
      config: { database: { migrationUrl: 'postgres://m:one@db.example/telemetry' } },
    });
    expect(load({ ...both, MIGRATION_POSTGRES_PASSWORD: 'two' })).toMatchObject({
      config: {
        database: {
          url: 'postgres://u:one@db.example/telemetry',
          migrationUrl: 'postgres://m:two@db.example/telemetry',
        },
      },
    });
  });

  test('needs a URL with the user it belongs to', () => {
    expect(problemsOf({ MIGRATION_POSTGRES_PASSWORD: 'two' })).toEqual([
      'MIGRATION_POSTGRES_PASSWORD: a password, without MIGRATION_POSTGRES_URL',
    ]);
  });
});

describe('PEM files', () => {
  const made = new AsyncDisposableStack();
  let certificates: Certificates;
  let authority: Authority;
  let client: Certificate;
  const tls = { REDIS_URL: 'rediss://redis.example', ...withMode('sslmode=verify-full') };

  beforeAll(async () => {
    certificates = await makeCertificates();
    made.defer(certificates.remove);
    authority = await certificates.authority('ours');
    client = await authority.issue('client', 'DNS:client');
  });
  afterAll(() => made.disposeAsync());

  test('are read at start and handed to each connection', () => {
    const pem = (path: string) => readFileSync(path, 'utf8');

    const result = load({
      ...tls,
      REDIS_CA_FILE: authority.ca,
      POSTGRES_CA_FILE: authority.ca,
      POSTGRES_CERT_FILE: client.cert,
      POSTGRES_KEY_FILE: client.key,
    });

    expect(result).toMatchObject({
      config: {
        redis: { tls: { ca: pem(authority.ca) } },
        database: {
          tls: { ca: pem(authority.ca), cert: pem(client.cert), key: pem(client.key) },
        },
      },
    });
  });

  test('a bundle of authorities is taken whole', async () => {
    const other = await certificates.authority('second');
    const bundle = [authority.ca, other.ca].map((path) => readFileSync(path, 'utf8')).join('\n');
    const path = await certificates.write('bundle.pem', `# two of them\n${bundle}`);

    expect(problemsOf({ ...tls, REDIS_CA_FILE: path })).toEqual([]);
  });

  test.each(['REDIS', 'POSTGRES'])(
    '%s: an unusable value is reported by variable',
    async (server) => {
      const variable = `${server}_CA_FILE`;
      const missing = '/nowhere/ca.pem';
      const empty = await certificates.write(`${server}-empty.pem`, '\n');
      const huge = await certificates.write(`${server}-huge.pem`, 'x'.repeat(1_048_577));
      const garbled = await certificates.write(
        `${server}-garbled.pem`,
        `${readFileSync(authority.ca, 'utf8')}-----BEGIN CERTIFICATE-----\nhunter2\n`,
      );
      const problem = (path: string) => problemsOf({ ...tls, [variable]: path });

      expect(problem(missing)).toEqual([`${variable}: ${missing}, which cannot be read (ENOENT)`]);
      expect(problem(empty)[0]).toContain(`${variable}: ${empty}, which is empty or larger`);
      expect(problem(huge)[0]).toContain(`${variable}: ${huge}, which is empty or larger`);
      for (const path of [garbled, client.key]) {
        expect(problem(path)).toEqual([`${variable}: ${path}, which holds something else`]);
      }
      expect(problem('ca.pem')).toEqual([`${variable}: "ca.pem"`]);
    },
  );

  test('a certificate and its key come together, and belong together', async () => {
    const other = await authority.issue('other', 'DNS:other');
    const given = (cert: string | null, key: string | null) =>
      problemsOf({
        ...tls,
        ...(cert !== null && { REDIS_CERT_FILE: cert }),
        ...(key !== null && { REDIS_KEY_FILE: key }),
      });

    expect(given(client.cert, client.key)).toEqual([]);
    expect(given(client.cert, null)).toEqual(['REDIS_KEY_FILE: nothing']);
    expect(given(null, client.key)).toEqual(['REDIS_CERT_FILE: nothing']);
    expect(given(client.cert, other.key)).toEqual(['REDIS_KEY_FILE: another key']);
    expect(given(client.cert, other.cert)).toEqual([
      `REDIS_KEY_FILE: ${other.cert}, which holds something else`,
    ]);
  });

  test('a file for a connection in plain text is refused: it would only look secured', () => {
    expect(problemsOf({ REDIS_CA_FILE: authority.ca, POSTGRES_CA_FILE: authority.ca })).toEqual([
      'REDIS_CA_FILE: a file, for a connection in plain text',
      'POSTGRES_CA_FILE: a file, for a connection in plain text',
    ]);
  });

  test('nothing of a PEM file is described', () => {
    const env = { REDIS_CA_FILE: authority.ca, REDIS_CERT_FILE: client.cert };
    const result = load({ ...tls, ...env, REDIS_KEY_FILE: client.key });
    if (!result.ok) throw new Error('the configuration is wrong');

    const described = JSON.stringify(describeConfig(result.config));

    expect(described).not.toContain('BEGIN');
    for (const path of [authority.ca, client.cert, client.key]) {
      const [, line = ''] = readFileSync(path, 'utf8').split('\n');
      expect(line.length).toBeGreaterThan(20);
      expect(described).not.toContain(line);
    }
  });
});
