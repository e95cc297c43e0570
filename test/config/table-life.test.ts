import { describe, expect, test } from 'vitest';
import { type ConfigProblem, loadConfig } from '../../src/config/load.ts';

const dayMs = 86_400_000;

function load(env: Readonly<Record<string, string>>) {
  return loadConfig(
    { POSTGRES_URL: 'postgres://db.example/telemetry', ...env },
    {
      hostname: 'worker-7',
      readFile: () => {
        throw new Error('ENOENT');
      },
    },
  );
}

function problems(env: Readonly<Record<string, string>>): readonly ConfigProblem[] {
  const result = load(env);
  return result.ok ? [] : result.problems;
}

function names(env: Readonly<Record<string, string>>): string[] {
  return problems(env).map(({ variable }) => variable);
}

describe('the life of the table', () => {
  test('is unlimited, uncompressed and without aggregates by default', () => {
    const result = load({});

    expect(result.ok && result.config.database).toMatchObject({
      lateHorizonMs: 7 * dayMs,
      columnstoreAfterMs: null,
      retentionMs: null,
      aggregates: false,
    });
  });

  test('follows the configuration', () => {
    const result = load({
      COLUMNSTORE_AFTER: '30d',
      RETENTION: '2y',
      TS_MAX_PAST: '1y',
      AGGREGATES: 'on',
    });

    expect(result.ok && result.config.database).toMatchObject({
      columnstoreAfterMs: 30 * dayMs,
      retentionMs: 732 * dayMs,
      aggregates: true,
    });
  });

  test.each([
    [{ COLUMNSTORE_AFTER: 'never' }, 'COLUMNSTORE_AFTER'],
    [{ COLUMNSTORE_AFTER: '23h' }, 'COLUMNSTORE_AFTER'],
    [{ RETENTION: '6d' }, 'RETENTION'],
    [{ RETENTION: 'OFF' }, 'RETENTION'],
    [{ AGGREGATES: 'true' }, 'AGGREGATES'],
  ])('%j is refused', (env, variable) => {
    expect(names(env)).toEqual([variable]);
  });
});

describe('compression', () => {
  test.each([
    { COLUMNSTORE_AFTER: '8d' },
    { COLUMNSTORE_AFTER: '31d', LATE_HORIZON: '30d' },
    { COLUMNSTORE_AFTER: '14d', CHUNK_INTERVAL: '7d' },
  ])('beyond the late horizon is accepted: %j', (env) => {
    expect(problems(env)).toEqual([]);
  });

  test.each([
    { COLUMNSTORE_AFTER: '7d' },
    { COLUMNSTORE_AFTER: '30d', LATE_HORIZON: '30d' },
    { COLUMNSTORE_AFTER: '13d', CHUNK_INTERVAL: '7d' },
  ])('inside the late horizon is refused at start: %j', (env) => {
    expect(names(env)).toEqual(['COLUMNSTORE_AFTER']);
  });

  test('the refusal names an accepted value', () => {
    const [problem] = problems({ COLUMNSTORE_AFTER: '5d', LATE_HORIZON: '10d' });

    expect(problem).toMatchObject({ got: '5d', example: 'COLUMNSTORE_AFTER=11d' });
    expect(names({ COLUMNSTORE_AFTER: '11d', LATE_HORIZON: '10d' })).toEqual([]);
  });
});

describe('retention', () => {
  test.each([
    { RETENTION: '5y' },
    { RETENTION: '30d', TS_MAX_PAST: '30d' },
    { RETENTION: '31d', TS_MAX_PAST: '1d', COLUMNSTORE_AFTER: '30d' },
  ])('%j is accepted', (env) => {
    expect(problems(env)).toEqual([]);
  });

  test('shorter than TS_MAX_PAST is refused: accepted records would be dropped at once', () => {
    const [problem, ...others] = problems({ RETENTION: '30d' });

    expect(others).toEqual([]);
    expect(problem).toMatchObject({
      variable: 'TS_MAX_PAST',
      got: '1830d',
      example: 'TS_MAX_PAST=30d',
    });
  });

  test('before compression is refused', () => {
    const env = { RETENTION: '20d', TS_MAX_PAST: '20d', COLUMNSTORE_AFTER: '20d' };

    expect(problems(env)).toMatchObject([{ variable: 'RETENTION', example: 'RETENTION=21d' }]);
  });

  test('an invalid value is reported once, without further comparisons', () => {
    expect(names({ RETENTION: 'soon', COLUMNSTORE_AFTER: '1h' })).toEqual([
      'COLUMNSTORE_AFTER',
      'RETENTION',
    ]);
  });
});
