import { describe, expect, test } from 'vitest';
import {
  type Config,
  type ConfigProblem,
  describeConfig,
  formatProblems,
  loadConfig,
} from '../../src/config/load.ts';
import { variables } from '../../src/config/variables.ts';

const marker = 'hunter2-marker';
const required = { POSTGRES_URL: 'postgres://db.example/telemetry' };

type Environment = Readonly<Record<string, string>>;

function load(env: Environment, hostname = 'worker-7') {
  return loadConfig(
    { ...required, ...env },
    {
      hostname,
      readFile: () => {
        throw new Error('ENOENT');
      },
    },
  );
}

function problemsOf(env: Environment, hostname?: string): readonly ConfigProblem[] {
  const result = load(env, hostname);
  return result.ok ? [] : result.problems;
}

function configOf(env: Environment, hostname?: string): Config {
  const result = load(env, hostname);
  if (!result.ok) throw new Error(formatProblems(result.problems));
  return result.config;
}

describe('the dead-letter stream', () => {
  test.each([
    { DEAD_LETTER_STREAM: 'telemetry:teltonika' },
    { DEAD_LETTER_STREAM: 'fleet', REDIS_TELEMETRY_STREAM: 'fleet' },
  ])('must not be the stream that is read: %j', (env) => {
    const [problem, ...others] = problemsOf(env);

    expect(others).toEqual([]);
    expect(problem?.variable).toBe('DEAD_LETTER_STREAM');
    expect(problem?.got).toContain('the same as REDIS_TELEMETRY_STREAM');
    expect(problem?.expected).toBe('another stream than REDIS_TELEMETRY_STREAM');
  });
});

describe('the host name as the consumer name', () => {
  test.each(['', 'two words', 'line\nbreak', 'x'.repeat(201)])(
    'is refused when unfit: %j',
    (name) => {
      const [problem, ...others] = problemsOf({}, name);

      expect(others).toEqual([]);
      expect(problem?.variable).toBe('CONSUMER_NAME');
      expect(problem?.got).toContain('the host name');
      expect(problem?.got.length).toBeLessThan(200);
    },
  );

  test('does not matter when CONSUMER_NAME is set', () => {
    expect(configOf({ CONSUMER_NAME: 'c1' }, 'two words').streams[0].consumer).toBe('c1');
  });
});

describe('a login in the wrong place', () => {
  const open = Object.values(variables).filter(({ secret }) => !secret);

  test('is not printed, whichever variable has it', () => {
    for (const { name } of open) {
      const login = `redis://user:${marker}@host with a space`;
      const problems = problemsOf({ [name]: login });

      expect(problems.map(({ variable }) => variable)).toEqual([name]);
      expect(formatProblems(problems)).not.toContain(marker);
    }
  });

  test('is not printed when it is in place of the path of a file', () => {
    const problems = problemsOf({ REDIS_URL_FILE: `redis://user:${marker}@host` });

    expect(problems.map(({ variable }) => variable)).toEqual(['REDIS_URL']);
    expect(formatProblems(problems)).not.toContain(marker);
  });

  test('a path with line breaks stays one bounded line', () => {
    const text = formatProblems(problemsOf({ REDIS_URL_FILE: `/run/a\nb${'c'.repeat(100_000)}` }));

    expect(text.split('\n')).toHaveLength(2);
    expect(text.length).toBeLessThan(1000);
  });
});

test('a URL with a space is refused: no message could be cleaned of its login', () => {
  expect(problemsOf({ REDIS_URL: 'redis://user:two words@host:6379' })).toMatchObject([
    { variable: 'REDIS_URL' },
  ]);
});

describe('the configuration for the log', () => {
  test('is the effective one, without the secrets', () => {
    const config = configOf({
      REDIS_URL: `rediss://user:${marker}@redis:6380/1`,
      REDIS_PASSWORD: `${marker}-2`,
      POSTGRES_URL: `postgres://writer:${marker}@db:5432/telemetry`,
      POSTGRES_PASSWORD: `${marker}-3`,
      MIGRATION_POSTGRES_URL: `postgres://owner:${marker}@db2/telemetry`,
      BATCH_ROWS: '77',
    });
    const described = describeConfig(config);

    const redacted = 'rediss://***:***@redis:6380/1';

    expect(JSON.stringify(described)).not.toContain(marker);
    expect(described).toEqual({
      ...config,
      redis: { ...config.redis, url: redacted, topology: { kind: 'single', url: redacted } },
      database: {
        ...config.database,
        url: 'postgres://***:***@db:5432/telemetry',
        migrationUrl: 'postgres://***:***@db2/telemetry',
      },
      domain: { ...config.domain, url: 'postgres://***:***@db:5432/telemetry' },
    });
    expect(described.pipeline.batchRows).toBe(77);
  });
});
