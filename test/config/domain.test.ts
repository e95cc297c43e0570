import { describe, expect, test } from 'vitest';
import {
  type Config,
  type ConfigProblem,
  describeConfig,
  formatProblems,
  loadConfig,
} from '../../src/config/load.ts';

const dayMs = 86_400_000;
const marker = 'hunter2-marker';
const required = { POSTGRES_URL: 'postgres://writer:w@db.example/telemetry' };
const role = { DOMAIN_POSTGRES_URL: 'postgres://domain@db.example/telemetry' };

type Environment = Readonly<Record<string, string>>;

function load(env: Environment) {
  const readFile = () => `${marker}\n`;
  return loadConfig({ ...required, ...env }, { hostname: 'worker-7', readFile });
}

function configOf(env: Environment): Config {
  const result = load(env);
  if (!result.ok) throw new Error(formatProblems(result.problems));
  return result.config;
}

function problemsOf(env: Environment): readonly ConfigProblem[] {
  const result = load(env);
  return result.ok ? [] : result.problems;
}

describe('the domain', () => {
  test('is off by default, and every setting has its default', () => {
    expect(configOf({}).domain).toEqual({
      enabled: false,
      url: required.POSTGRES_URL,
      minSatellites: 4,
      maxHopMs: 120_000,
      pollMs: 5000,
      recomputeHorizonMs: 30 * dayMs,
      batchDevices: 500,
      outboxMax: 1_000_000,
      maxGeofences: 100_000,
      maxVertices: 5_000_000,
      timingTable: { schema: 'public', name: 'timing_records' },
      subjectColumn: null,
    });
  });

  test('takes each setting from its variable', () => {
    const env = {
      ...role,
      DOMAIN: 'on',
      DOMAIN_POSTGRES_PASSWORD: 'd',
      DOMAIN_MIN_SATELLITES: '5',
      DOMAIN_MAX_HOP: '90s',
      DOMAIN_POLL_MS: '1000',
      DOMAIN_RECOMPUTE_HORIZON: '7d',
      DOMAIN_BATCH_DEVICES: '50',
      DOMAIN_OUTBOX_MAX: '20000',
      DOMAIN_MAX_GEOFENCES: '10',
      DOMAIN_MAX_VERTICES: '1000',
      DOMAIN_TIMING_TABLE: 'race.crossings',
      DOMAIN_SUBJECT_COLUMN: 'entry',
    };

    expect(configOf(env).domain).toEqual({
      enabled: true,
      url: 'postgres://domain:d@db.example/telemetry',
      minSatellites: 5,
      maxHopMs: 90_000,
      pollMs: 1000,
      recomputeHorizonMs: 7 * dayMs,
      batchDevices: 50,
      outboxMax: 20_000,
      maxGeofences: 10,
      maxVertices: 1000,
      timingTable: { schema: 'race', name: 'crossings' },
      subjectColumn: 'entry',
    });
  });

  test('uses the password of the service, unless its role has one of its own', () => {
    const both = { ...role, POSTGRES_PASSWORD: 'one' };

    expect(configOf(both).domain.url).toBe('postgres://domain:one@db.example/telemetry');
    expect(configOf({ ...both, DOMAIN_POSTGRES_PASSWORD_FILE: '/run/secrets/d' }).domain.url).toBe(
      `postgres://domain:${marker}@db.example/telemetry`,
    );
  });

  test('uses the role of the service, with its password, without a URL of its own', () => {
    expect(configOf({ POSTGRES_PASSWORD: 'one' }).domain.url).toBe(
      'postgres://writer:one@db.example/telemetry',
    );
  });

  test('shows its URL without the login', () => {
    const config = configOf({ ...role, DOMAIN_POSTGRES_PASSWORD: marker });

    expect(describeConfig(config).domain.url).toBe('postgres://***:***@db.example/telemetry');
  });
});

describe('a wrong setting of the domain', () => {
  test.each([
    ['DOMAIN', 'true'],
    ['DOMAIN_MIN_SATELLITES', '0'],
    ['DOMAIN_MAX_HOP', '2h'],
    ['DOMAIN_POLL_MS', '1'],
    ['DOMAIN_RECOMPUTE_HORIZON', 'off'],
    ['DOMAIN_BATCH_DEVICES', '0'],
    ['DOMAIN_OUTBOX_MAX', '10'],
    ['DOMAIN_MAX_GEOFENCES', '-1'],
    ['DOMAIN_MAX_VERTICES', '1e6'],
    ['DOMAIN_TIMING_TABLE', 'timing_records'],
    ['DOMAIN_TIMING_TABLE', 'public.timing.records'],
    ['DOMAIN_TIMING_TABLE', 'public."timing"'],
    ['DOMAIN_TIMING_TABLE', `public.${'x'.repeat(64)}`],
    ['DOMAIN_SUBJECT_COLUMN', 'vehicle; drop'],
  ])('is reported by its variable: %s=%s', (variable, value) => {
    const [problem, ...others] = problemsOf({ [variable]: value });

    expect(others).toEqual([]);
    expect(problem).toMatchObject({ variable, got: JSON.stringify(value) });
    expect(problem?.example).toMatch(new RegExp(`^${variable}=.`));
  });

  test('and all of them at once', () => {
    const env = { DOMAIN: 'yes', DOMAIN_MAX_HOP: '0', DOMAIN_TIMING_TABLE: 'x' };

    expect(problemsOf(env).map(({ variable }) => variable)).toEqual(Object.keys(env));
  });

  test.each(['public.positions', 'public.processor_migrations', 'positions.outbox'])(
    'a timing table of the service itself is refused: %s',
    (table) => {
      expect(problemsOf({ DOMAIN_TIMING_TABLE: table })).toEqual([
        {
          variable: 'DOMAIN_TIMING_TABLE',
          got: `"${table}", which belongs to this service`,
          expected: 'the table of timing records, which Directus owns',
          example: 'DOMAIN_TIMING_TABLE=public.timing_records',
        },
      ]);
    },
  );

  test.each(['id', 'device', 'geofence', 'at', 'superseded_at', 'latitude', 'date_created'])(
    'a subject column that has another meaning is refused: %s',
    (column) => {
      expect(problemsOf({ DOMAIN_SUBJECT_COLUMN: column })).toMatchObject([
        {
          variable: 'DOMAIN_SUBJECT_COLUMN',
          expected: expect.stringContaining('vehicle or entry'),
        },
      ]);
    },
  );

  test('a password without the URL of its role is refused', () => {
    expect(problemsOf({ DOMAIN_POSTGRES_PASSWORD: marker })).toMatchObject([
      {
        variable: 'DOMAIN_POSTGRES_PASSWORD',
        got: 'a password, without DOMAIN_POSTGRES_URL',
        expected: 'DOMAIN_POSTGRES_URL with the user it is for',
      },
    ]);
  });

  test('its URL has the sslmode of the service', () => {
    const verified = `${required.POSTGRES_URL}?sslmode=verify-full`;

    const different = { ...role, POSTGRES_URL: verified };

    expect(problemsOf({ ...different, DOMAIN: 'on' })).toMatchObject([
      { variable: 'DOMAIN_POSTGRES_URL', got: 'another sslmode than in POSTGRES_URL' },
    ]);
    expect(problemsOf(different)).toEqual([]);
    expect(
      configOf({
        POSTGRES_URL: verified,
        DOMAIN_POSTGRES_URL: `${role.DOMAIN_POSTGRES_URL}?sslmode=verify-full`,
      }).domain.url,
    ).toBe(role.DOMAIN_POSTGRES_URL);
  });
});
