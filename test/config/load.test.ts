import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import {
  type Config,
  type ConfigProblem,
  formatProblems,
  loadConfig,
  redactUrl,
} from '../../src/config/load.ts';
import { variables } from '../../src/config/variables.ts';
import { programFile } from '../../tools/program.ts';

const marker = 'hunter2-marker';
const required = { POSTGRES_URL: 'postgres://db.example/telemetry' };

type Files = Readonly<Record<string, string>>;

function load(env: Readonly<Record<string, string | undefined>>, files: Files = {}) {
  return loadConfig(env, {
    hostname: 'worker-7',
    readFile: (path) => {
      const text = files[path];
      if (text === undefined) {
        throw Object.assign(new Error(`ENOENT: no such file: ${path}`), { code: 'ENOENT' });
      }
      return text;
    },
  });
}

function configOf(env: Readonly<Record<string, string>>, files: Files = {}): Config {
  const result = load({ ...required, ...env }, files);
  if (!result.ok) throw new Error(formatProblems(result.problems));
  return result.config;
}

function problemsOf(
  env: Readonly<Record<string, string>>,
  files: Files = {},
): readonly ConfigProblem[] {
  const result = load({ ...required, ...env }, files);
  return result.ok ? [] : result.problems;
}

describe('with only the database set', () => {
  test('every other variable has its default', () => {
    expect(configOf({})).toMatchObject({
      service: { env: 'production', instance: 'worker-7' },
      redis: { url: 'redis://127.0.0.1:6379' },
      streams: [
        {
          key: 'telemetry:teltonika',
          group: 'processor',
          consumer: 'worker-7',
          deadLetterKey: 'telemetry:teltonika:dlq',
        },
      ],
      database: {
        url: required.POSTGRES_URL,
        migrationUrl: required.POSTGRES_URL,
        migrations: 'auto',
        timescaledb: 'required',
        chunkIntervalMs: 86_400_000,
      },
      validation: { tsMaxPastMs: 5 * 366 * 86_400_000, tsMaxFutureMs: 86_400_000, io16: false },
      http: { host: '127.0.0.1', port: 9464 },
      log: { level: 'info' },
    });
  });

  test('the configuration cannot be changed afterwards', () => {
    const config = configOf({});

    expect(Object.isFrozen(config)).toBe(true);
    expect(Object.values(config).every((part) => Object.isFrozen(part))).toBe(true);
  });

  test('an empty variable counts as unset', () => {
    expect(configOf({ HTTP_PORT: '', REDIS_PASSWORD: '' })).toEqual(configOf({}));
  });

  test('every default is an accepted value', () => {
    for (const { name, default: fallback, schema } of Object.values(variables)) {
      if (fallback !== null) expect(schema.safeParse(fallback).success, name).toBe(true);
    }
  });

  test('every example is an accepted value', () => {
    for (const { name, example, schema } of Object.values(variables)) {
      expect(schema.safeParse(example).success, `${name}=${example}`).toBe(true);
    }
  });
});

describe('names that follow from others', () => {
  test('the dead-letter stream is named after the stream, the instance after the consumer', () => {
    const { streams, service } = configOf({ REDIS_TELEMETRY_STREAM: 'fleet', CONSUMER_NAME: 'c1' });

    const [stream] = streams;
    expect(stream).toMatchObject({ key: 'fleet', deadLetterKey: 'fleet:dlq', consumer: 'c1' });
    expect(service.instance).toBe('c1');
  });

  test('each of them can be set on its own', () => {
    const { streams, service } = configOf({ DEAD_LETTER_STREAM: 'dead', INSTANCE_ID: 'i1' });

    expect(streams[0]).toMatchObject({ deadLetterKey: 'dead', consumer: 'worker-7' });
    expect(service.instance).toBe('i1');
  });
});

describe('a wrong value', () => {
  test('all problems are reported at once with variable, found value, expected value and example', () => {
    const result = load({ HTTP_PORT: '70000', LOG_LEVEL: 'loud', CHUNK_INTERVAL: '1 day' });

    expect(result).toEqual({
      ok: false,
      problems: [
        {
          variable: 'POSTGRES_URL',
          got: 'nothing',
          expected: variables.postgresUrl.shape,
          example: `POSTGRES_URL=${variables.postgresUrl.example}`,
        },
        {
          variable: 'CHUNK_INTERVAL',
          got: '"1 day"',
          expected: variables.chunkIntervalMs.shape,
          example: 'CHUNK_INTERVAL=1d',
        },
        {
          variable: 'HTTP_PORT',
          got: '"70000"',
          expected: 'a whole number from 0 to 65535',
          example: 'HTTP_PORT=9464',
        },
        {
          variable: 'LOG_LEVEL',
          got: '"loud"',
          expected: 'one of debug, info, warn, error',
          example: 'LOG_LEVEL=info',
        },
      ],
    });
  });

  test.each([
    ['HTTP_PORT', '0x10'],
    ['HTTP_PORT', ' 1'],
    ['HTTP_PORT', '1e3'],
    ['HTTP_PORT', '-1'],
    ['HTTP_PORT', '9'.repeat(400)],
    ['WRITERS', '0'],
    ['WRITERS', '17'],
    ['CHUNK_INTERVAL', '59m'],
    ['CHUNK_INTERVAL', '366d'],
    ['CHUNK_INTERVAL', '1.5d'],
    ['CODEC_IO16', 'yes'],
    ['TIMESCALEDB', 'REQUIRED'],
    ['CONSUMER_NAME', 'two words'],
    ['REDIS_TELEMETRY_STREAM', 'line\nbreak'],
    ['HTTP_HOST', 'http://here'],
    ['REDIS_URL', 'http://redis:6379'],
    ['REDIS_URL', 'redis'],
    ['POSTGRES_URL', 'mysql://db/x'],
  ])('%s=%j is refused', (variable, value) => {
    expect(problemsOf({ [variable]: value }).map((problem) => problem.variable)).toEqual([
      variable,
    ]);
  });

  test('a long value is shown only in part', () => {
    const [problem] = problemsOf({ LOG_LEVEL: 'x'.repeat(100_000) });

    expect(problem?.got.length).toBeLessThan(200);
  });

  test('durations are parsed in their unit', () => {
    const read = (text: string) => configOf({ TS_MAX_FUTURE: text }).validation.tsMaxFutureMs;

    expect(['1000ms', '90s', '5m', '12h', '2d', '1w'].map(read)).toEqual([
      1000, 90_000, 300_000, 43_200_000, 172_800_000, 604_800_000,
    ]);
  });
});

describe('values that depend on each other', () => {
  test.each([
    [{ LOCK_TIMEOUT_MS: '10000' }, 'LOCK_TIMEOUT_MS', 'STATEMENT_TIMEOUT_MS'],
    [{ STATEMENT_TIMEOUT_MS: '12000' }, 'STATEMENT_TIMEOUT_MS', 'INSERT_DEADLINE_MS'],
    [{ INSERT_DEADLINE_MS: '25000' }, 'INSERT_DEADLINE_MS', 'DRAIN_BUDGET_MS'],
    [{ DRAIN_BUDGET_MS: '60000' }, 'DRAIN_BUDGET_MS', 'CLAIM_THRESHOLD_MS'],
    [{ IN_FLIGHT_RECORDS: '4999' }, 'BATCH_ROWS', 'IN_FLIGHT_RECORDS'],
    [{ BATCH_BYTES: '67108865' }, 'BATCH_BYTES', 'IN_FLIGHT_BYTES'],
  ])('%j is refused and both variables are named', (env, lower, upper) => {
    const [problem, ...others] = problemsOf(env);

    expect(others).toEqual([]);
    expect(problem?.variable).toBe(lower);
    expect(problem?.got).toContain(`${upper}=`);
    expect(problem?.expected).toContain(upper);
  });

  test('a budget of exactly one batch is accepted', () => {
    expect(problemsOf({ IN_FLIGHT_RECORDS: '5000', BATCH_BYTES: '67108864' })).toEqual([]);
  });
});

describe('secrets', () => {
  test('a password variable overrides the password in the URL, whatever its characters', () => {
    const password = 'p@ss/w:rd %41?#';
    const { redis, database } = configOf({
      REDIS_URL: 'redis://user:old@redis:6379/1',
      REDIS_PASSWORD: password,
      POSTGRES_URL: 'postgres://user:old@db/telemetry',
      MIGRATION_POSTGRES_URL: 'postgres://owner:old@db2/telemetry',
      POSTGRES_PASSWORD: password,
    });

    for (const url of [redis.url, database.url, database.migrationUrl]) {
      expect(decodeURIComponent(new URL(url).password)).toBe(password);
    }
    expect(new URL(database.migrationUrl).host).toBe('db2');
  });

  test('a secret is read from a file without the last line break', () => {
    const fromFile = load(
      { POSTGRES_URL_FILE: '/run/url', REDIS_PASSWORD_FILE: '/run/password' },
      { '/run/url': 'postgres://user@db/telemetry\n', '/run/password': 'secret \r\n' },
    );

    expect(fromFile).toMatchObject({
      ok: true,
      config: {
        database: { url: 'postgres://user@db/telemetry' },
        redis: { url: 'redis://:secret%20@127.0.0.1:6379' },
      },
    });
  });

  test('a secret given as value and as file is refused', () => {
    const env = { REDIS_PASSWORD: marker, REDIS_PASSWORD_FILE: '/run/password' };

    expect(problemsOf(env, { '/run/password': marker })).toMatchObject([
      { variable: 'REDIS_PASSWORD', got: 'both REDIS_PASSWORD and REDIS_PASSWORD_FILE; set one' },
    ]);
  });

  test('a file that is unreadable, empty or too large is named', () => {
    const files = { '/run/empty': '\n', '/run/large': 'x'.repeat(4097) };
    const got = ['/run/none', '/run/empty', '/run/large'].map(
      (path) => problemsOf({ REDIS_PASSWORD_FILE: path }, files)[0]?.got,
    );

    expect(got[0]).toBe('REDIS_PASSWORD_FILE=/run/none, which cannot be read (ENOENT)');
    expect(got[1]).toContain('REDIS_PASSWORD_FILE=/run/empty, which is empty');
    expect(got[2]).toContain('REDIS_PASSWORD_FILE=/run/large, which is empty or larger');
  });

  test('only secrets have a file form', () => {
    expect(configOf({ HTTP_PORT_FILE: '/run/port' }).http.port).toBe(9464);
  });

  test('the value of a wrong secret is never printed', () => {
    const secrets = Object.values(variables).filter((variable) => variable.secret);
    for (const { name } of secrets) {
      const wrong = marker + (name.endsWith('URL') ? '' : 'x'.repeat(1024));
      const direct = problemsOf({ [name]: wrong });
      const byFile = load(
        { ...required, [name]: undefined, [`${name}_FILE`]: '/run/secret' },
        { '/run/secret': wrong },
      );
      const printed = formatProblems([...direct, ...(byFile.ok ? [] : byFile.problems)]);

      expect(
        printed.match(new RegExp(`  ${name}: got a secret of \\d+ characters`, 'g')),
      ).toHaveLength(2);
      expect(printed).not.toContain(marker);
    }
  });

  test('a URL in output has no login', () => {
    expect(redactUrl(`postgres://user:${marker}@db:5432/telemetry?password=${marker}`)).toBe(
      'postgres://***:***@db:5432/telemetry',
    );
    expect(redactUrl(`postgres://${marker}@db:5432/telemetry`)).toBe(
      'postgres://***@db:5432/telemetry',
    );
    expect(redactUrl(`redis://:${marker}@redis:6379/2`)).toBe('redis://:***@redis:6379/2');
    expect(redactUrl('redis://127.0.0.1:6379')).toBe('redis://127.0.0.1:6379');
    expect(redactUrl(marker)).toBe('(not a URL)');
  });
});

describe('.env.example', () => {
  const text = readFileSync(new URL('../../.env.example', import.meta.url), 'utf8');
  const blocks = text.split('\n\n').filter((block) => /^#?[A-Z]/m.test(block));

  test('lists every variable once with its default, or with an example that is commented out unless required', () => {
    const lines = blocks.map((block) => block.trimEnd().split('\n').at(-1));
    const expected = Object.values(variables).map(
      ({ name, default: fallback, example, required }) =>
        fallback !== null ? `${name}=${fallback}` : `${required ? '' : '#'}${name}=${example}`,
    );

    expect(lines).toEqual(expected);
  });

  test('explains every variable in one comment line with meaning and shape', () => {
    const fields = Object.values(variables);

    expect(blocks).toHaveLength(fields.length);
    fields.forEach(({ meaning, shape }, index) => {
      const [comment = '', ...rest] = blocks[index]?.trimEnd().split('\n') ?? [];
      expect(rest).toHaveLength(1);
      expect(comment.startsWith('# ')).toBe(true);
      expect(comment).toContain(meaning);
      expect(comment).toContain(shape);
    });
  });

  test('sets only the database to another value than the defaults', () => {
    const set = text.split('\n').filter((line) => /^[A-Z]/.test(line));
    const env = Object.fromEntries(set.map((line) => line.split(/=(.*)/s).slice(0, 2)));

    expect(configOf({ ...env, ...required })).toEqual(configOf({}));
  });
});

test('`processor run` with several wrong variables reports all of them and exits with 1', () => {
  const { status, stdout, stderr } = spawnSync(process.execPath, [programFile(), 'run'], {
    env: {
      PATH: process.env.PATH,
      POSTGRES_URL: `postgres:${marker}`,
      HTTP_PORT: 'many',
      BATCH_ROWS: '0',
    },
    encoding: 'utf8',
  });

  expect(status).toBe(1);
  expect(stdout).toBe('');
  expect(stderr).toContain('the configuration has 3 problem(s)');
  for (const variable of ['POSTGRES_URL', 'HTTP_PORT', 'BATCH_ROWS']) {
    expect(stderr).toContain(`  ${variable}: got `);
  }
  expect(stderr).not.toContain(marker);
});
