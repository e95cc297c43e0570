import { describe, expect, test } from 'vitest';
import { type ConfigProblem, formatProblems, loadConfig } from '../../src/config/load.ts';

const marker = 'hunter2';

function problemsOf(env: Readonly<Record<string, string>>): readonly ConfigProblem[] {
  const result = loadConfig(
    { POSTGRES_URL: 'postgres://db.example/telemetry', ...env },
    { hostname: 'worker-7', readFile: () => '' },
  );
  return result.ok ? [] : result.problems;
}

/** The one problem, which must name the variable, a shape and an example, and show no secret. */
function problemOf(variable: string, value: string): ConfigProblem {
  const [problem, ...others] = problemsOf({ [variable]: value });
  if (problem === undefined) throw new Error(`${variable} was accepted`);
  expect(others).toEqual([]);
  expect(problem.variable).toBe(variable);
  expect(problem.expected).toMatch(/^(a|no|nothing|sslmode|the) ?/);
  expect(problem.example).toMatch(new RegExp(`^${variable}=[a-z]+://`));
  expect(formatProblems([problem])).not.toContain(marker);
  return problem;
}

describe('the database number of a Redis URL', () => {
  test.each(['', '/', '/0', '/1', '/15', '/2147483647'])('redis://host%s is accepted', (path) => {
    expect(problemsOf({ REDIS_URL: `redis://host:6379${path}` })).toEqual([]);
  });

  test.each([
    '/telemetry',
    '/-1',
    '/1.5',
    '/1e2',
    '/0x1',
    '/01',
    '/+1',
    '/ 1',
    '/%31',
    '/1/',
    '/1/2',
    '//1',
    '/2147483648',
    '/99999999999999999999',
    '/NaN',
    '/null',
  ])('redis://host%s is a problem', (path) => {
    const { got, expected } = problemOf('REDIS_URL', `redis://:${marker}@host:6379${path}`);

    if (!path.includes(' ')) expect(got).toContain('database that is not a whole number');
    expect(expected).toContain('database number');
  });

  test('a database that may be part of a password is not printed', () => {
    expect(problemOf('REDIS_URL', `redis://user:12/${marker}@host/0`).got).not.toContain('host');
  });
});

describe('percent-encoding', () => {
  test.each([
    ['REDIS_URL', `redis://:50%off${marker}@host`],
    ['REDIS_URL', `redis://50%@host:6379/0`],
    ['REDIS_URL', `redis://:${marker}%ff@host`],
    ['POSTGRES_URL', `postgres://writer:50%off${marker}@host/telemetry`],
    ['POSTGRES_URL', `postgres://wri%ter:${marker}@host/telemetry`],
    ['POSTGRES_URL', `postgres://writer:${marker}@host/tele%metry`],
    ['POSTGRES_URL', `postgres://writer:${marker}@ho%zzst/telemetry`],
    ['MIGRATION_POSTGRES_URL', `postgres://owner:${marker}%c3%28@host/telemetry`],
    ['TRACING_ENDPOINT', `http://user:50%off${marker}@collector/v1/traces`],
  ])('%s=%s is a problem', (variable, value) => {
    expect(problemOf(variable, value).got).toMatch(/percent-encod/);
  });

  test.each([
    ['REDIS_URL', `redis://:${marker}%0D@host`],
    ['REDIS_URL', `redis://user%00:x@host`],
    ['POSTGRES_URL', `postgres://writer:${marker}%0a@host/telemetry`],
    ['POSTGRES_URL', `postgres://writer:%EF%BB%BF${marker}@host/telemetry`],
  ])('a login with an encoded control character or BOM is a problem: %s=%s', (variable, value) => {
    expect(problemOf(variable, value).got).toMatch(/control character|byte order mark/);
  });

  test('correct percent-encoding is accepted', () => {
    const redis = { REDIS_URL: 'redis://us%40er:50%25off@host:6379/3' };
    const database = {
      POSTGRES_URL: 'postgres://us%40er:50%25off%2F@%2Frun%2Fpostgresql/tele%20x',
    };

    expect(problemsOf({ ...redis, ...database })).toEqual([]);
  });
});

test('one host is asked for where there is one only', () => {
  const { got } = problemOf(
    'TRACING_ENDPOINT',
    `http://user:${marker}@one:4318,two:4318/v1/traces`,
  );

  expect(got).toContain('more than one host');
});

describe('a list of hosts', () => {
  test('a password with a comma is not read as a second host', () => {
    expect(problemsOf({ REDIS_URL: 'redis://user:a,b@host:6379' })).toEqual([]);
    expect(problemsOf({ POSTGRES_URL: 'postgres://user:a,b@host/telemetry' })).toEqual([]);
  });
});

describe('parameters of a PostgreSQL URL', () => {
  test.each([
    'host',
    'channel_binding',
    'options',
    'load_balance_hosts',
    'port',
    'user',
    'password',
    'application_name',
    'connect_timeout',
    'statement_timeout',
    'query_timeout',
    'replication',
    'client_encoding',
    'keepalives',
    'gssencmode',
    'passfile',
    'service',
    'sslsni',
    'max',
  ])('?%s= is refused by name', (name) => {
    for (const variable of ['POSTGRES_URL', 'MIGRATION_POSTGRES_URL']) {
      const url = `postgres://writer@db.example/telemetry?${name}=${marker}&sslmode=disable`;
      const problems = problemsOf({ [variable]: url });

      expect(problems.map((problem) => problem.variable)).toEqual([variable]);
      expect(problems[0]?.got).toMatch(new RegExp(`\\b${name}\\b|about TLS`));
      expect(formatProblems(problems)).not.toContain(marker);
    }
  });

  test('a parameter whose name may be part of a password is not printed', () => {
    const { got } = problemOf('POSTGRES_URL', `postgres://user:12?a&${marker}@db/telemetry`);

    expect(got).toBe('a URL with parameters');
  });

  test.each(['REDIS_URL=redis://host/0#x', 'POSTGRES_URL=postgres://host/telemetry#x'])(
    'a fragment is refused: %s',
    (text) => {
      const [variable = '', url = ''] = text.split(/=(.*)/s);

      expect(problemOf(variable, url).got).toContain('fragment');
    },
  );
});
