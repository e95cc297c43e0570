import { describe, expect, test } from 'vitest';
import { effectiveVariables } from '../../src/config/effective.ts';
import {
  type Config,
  type ConfigProblem,
  describeConfig,
  formatProblems,
  loadConfig,
  redactUrl,
} from '../../src/config/load.ts';

const marker = 'hunter2';
const names = ['POSTGRES_URL', 'MIGRATION_POSTGRES_URL', 'DOMAIN_POSTGRES_URL'] as const;
type Env = Readonly<Record<string, string>>;

function load(env: Env) {
  const plain = { POSTGRES_URL: 'postgres://db.example/telemetry', DOMAIN: 'on' };
  return loadConfig({ ...plain, ...env }, { hostname: 'worker-7', readFile: () => '' });
}

function configOf(env: Env): Config {
  const result = load(env);
  if (!result.ok) throw new Error(formatProblems(result.problems));
  return result.config;
}

/** The one problem, which shows no secret. */
function problemOf(env: Env): ConfigProblem {
  const result = load(env);
  if (result.ok) throw new Error('it was accepted');
  const [problem, ...others] = result.problems;
  if (problem === undefined) throw new Error('no problem');
  expect(others).toEqual([]);
  expect(formatProblems([problem])).not.toContain(marker);
  return problem;
}

describe('a PostgreSQL URL with several hosts', () => {
  test.each([
    'postgres://writer:secret@one:5432,two:5433/telemetry',
    'postgres://writer:secret@one,two,three/telemetry?target_session_attrs=read-write',
    'postgresql://one:5432,two/telemetry?target_session_attrs=primary',
    'postgres://writer@[::1]:5432,[fd00::2]:5432/telemetry',
    'postgres://writer:a,b@%2Frun%2Fpostgresql,two:5432/telemetry',
    'postgres://writer@one/telemetry?target_session_attrs=read-write',
  ])('%s is accepted in each variable, and kept', (url) => {
    for (const name of names) expect(load({ [name]: url }).ok, name).toBe(true);
    const { database } = configOf({ POSTGRES_URL: url });

    expect([database.url, database.migrationUrl]).toEqual([url, url]);
  });

  test('keeps its hosts beside sslmode, which is taken out', () => {
    const start = 'postgres://writer@one:5432,two/telemetry';
    const both = `${start}?sslmode=verify-full&target_session_attrs=primary`;
    const { database } = configOf({ POSTGRES_URL: both });

    expect(database.url).toBe(`${start}?target_session_attrs=primary`);
    expect(database.tls).not.toBeNull();
    expect(configOf({ POSTGRES_URL: `${start}?sslmode=verify-full` }).database.url).toBe(start);
  });

  test('takes the password of POSTGRES_PASSWORD', () => {
    const url = 'postgres://writer:old@one:5432,two:5433/telemetry?target_session_attrs=primary';
    const { database } = configOf({ POSTGRES_URL: url, POSTGRES_PASSWORD: 'n/w' });

    expect(database.url).toBe(url.replace('old', 'n%2Fw'));
  });

  test.each([
    [`postgres://w:${marker}@one,,two/telemetry`, 'empty host'],
    [`postgres://w:${marker}@one,/telemetry`, 'empty host'],
    [`postgres://w:${marker}@,one/telemetry`, 'empty host'],
    [`postgres://w:${marker}@one,one:5432/telemetry`, 'same host and port twice'],
    [`postgres://w:${marker}@1,2,3,4,5,6,7,8,9/telemetry`, 'more than 8 hosts'],
    [`postgres://w:${marker}@one,two:70000/telemetry`, 'not a URL'],
    [`postgres://w:${marker}@one,two:x/telemetry`, 'not a URL'],
    [`postgres://w:${marker}@one, two/telemetry`, 'space'],
    [`postgres://w:${marker}%zz@one,two/telemetry`, 'percent-encoding'],
    [`postgres://w:${marker}@one,t%00o/telemetry`, 'control character'],
    [`mysql://w:${marker}@one,two/telemetry`, 'another scheme'],
  ])('%s is refused: %s', (url, got) => {
    for (const name of names) expect(problemOf({ [name]: url }).got).toContain(got);
  });

  test.each(['any', 'read-only', 'standby', 'prefer-standby'])(
    'target_session_attrs=%s is refused with what to set',
    (target) => {
      for (const hosts of ['one', 'one,two']) {
        const url = `postgres://w:${marker}@${hosts}/telemetry?target_session_attrs=${target}`;
        const { got, expected } = problemOf({ POSTGRES_URL: url });

        expect(got).toBe(`target_session_attrs=${target}`);
        expect(expected).toMatch(/^target_session_attrs=read-write, or primary/);
      }
    },
  );

  test('a target that is none is not repeated, and a second one is refused', () => {
    const start = 'postgres://w@one,two/telemetry?target_session_attrs=';

    expect(problemOf({ POSTGRES_URL: `${start}${marker}` }).got).toContain('that is none');
    const twice = `${start}primary&target_session_attrs=primary`;
    expect(problemOf({ POSTGRES_URL: twice }).got).toContain('more than one');
  });

  test('other parameters are refused by name, as for one host', () => {
    const url = `postgres://w:${marker}@one,two/telemetry?load_balance_hosts=random`;

    expect(problemOf({ POSTGRES_URL: url }).got).toContain('the parameter load_balance_hosts');
  });
});

describe('a URL with several hosts is shown', () => {
  test.each([
    [`postgres://w:${marker}@one:1,two:2/telemetry`, 'postgres://***:***@one:1,two:2/telemetry'],
    [
      `postgres://w:${marker}@one,[::1]:2/t?target_session_attrs=primary`,
      'postgres://***:***@one,[::1]:2/t?target_session_attrs=primary',
    ],
    [`postgres://one,w:${marker}@two/t`, 'postgres://***:***@two/t'],
    [`postgres://w:${marker}@one,two/t?password=${marker}`, 'postgres://***:***@one,two/t'],
    [`postgres://w:pass/${marker}@one,two/t`, '(not a URL)'],
  ])('%s as %s', (url, shown) => {
    expect(redactUrl(url)).toBe(shown);
  });

  test('in the configuration for the log and of processor config', () => {
    const env = {
      POSTGRES_URL: `postgres://w:${marker}@one,two/t?target_session_attrs=primary&sslmode=verify-full`,
    };
    const config = configOf(env);

    expect(JSON.stringify(describeConfig(config))).not.toContain(marker);
    const shown = effectiveVariables(env, config).find(({ name }) => name === 'POSTGRES_URL');
    expect(shown?.value).toBe(
      'postgres://***:***@one,two/t?target_session_attrs=primary&sslmode=verify-full',
    );
  });
});
