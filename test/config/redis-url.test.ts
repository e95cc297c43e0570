import { describe, expect, test } from 'vitest';
import {
  type Config,
  describeConfig,
  formatProblems,
  loadConfig,
  redactUrl,
} from '../../src/config/load.ts';

const marker = 'hunter2';
const host = { hostname: 'worker-7', readFile: () => marker };
const tagged = { REDIS_TELEMETRY_STREAM: '{telemetry:teltonika}' };

function load(env: Readonly<Record<string, string>>) {
  return loadConfig({ POSTGRES_URL: 'postgres://db/telemetry', ...env }, host);
}

function redisOf(env: Readonly<Record<string, string>>): Config['redis'] {
  const result = load(env);
  if (!result.ok) throw new Error(formatProblems(result.problems));
  return result.config.redis;
}

function problemsOf(env: Readonly<Record<string, string>>) {
  const result = load(env);
  const problems = result.ok ? [] : result.problems;
  expect(formatProblems(problems)).not.toContain(marker);
  return problems;
}

describe('a URL of Redis Sentinel', () => {
  test('names sentinels, the primary and its database', () => {
    const redis = redisOf({
      REDIS_URL: `redis+sentinel://processor:${marker}@s1:26380,s2,[::1]:26381/telemetry/3`,
    });

    expect(redis.topology).toEqual({
      kind: 'sentinel',
      sentinels: [
        { host: 's1', port: 26_380 },
        { host: 's2', port: 26_379 },
        { host: '::1', port: 26_381 },
      ],
      name: 'telemetry',
      database: 3,
      login: { username: 'processor', password: marker },
      sentinelLogin: { username: null, password: null },
    });
    expect(redis.tls).toBeNull();
  });

  test('takes the password of the servers and that of the sentinels from variables of their own', () => {
    const password = 'p@ss/w:rd %41?#,';
    const { topology, url } = redisOf({
      REDIS_URL: `redis+sentinel://user:${marker}@s1,s2/telemetry`,
      REDIS_PASSWORD: password,
      REDIS_SENTINEL_USER: 'watcher',
      REDIS_SENTINEL_PASSWORD_FILE: '/run/sentinel',
    });

    expect(topology).toMatchObject({
      login: { username: 'user', password },
      sentinelLogin: { username: 'watcher', password: marker },
      database: 0,
    });
    expect(url).not.toContain(marker);
  });

  test('selects TLS with rediss', () => {
    expect(redisOf({ REDIS_URL: 'rediss+sentinel://s1/telemetry' }).tls).toMatchObject({
      rejectUnauthorized: true,
    });
  });

  test.each([
    ['redis+sentinel:///telemetry', /no host/],
    ['redis+sentinel://s1,,s2/telemetry', /an empty host \(host 2 of 3\)/],
    ['redis+sentinel://s1', /no name of the primary/],
    ['redis+sentinel://s1/', /no name of the primary/],
    ['redis+sentinel://s1/tele%20metry', /a name of the primary that Sentinel refuses/],
    ['redis+sentinel://s1/telemetry/x', /a database that is not a whole number/],
    ['redis+sentinel://s1/telemetry/99999999999', /a database that is not a whole number/],
    ['redis+sentinel://s1/telemetry/0/1', /a database that is not a whole number/],
    ['redis+sentinel://s1:0/telemetry', /a port that is not a number from 1 to 65535/],
    ['redis+sentinel://s1:65536/telemetry', /a port that is not a number from 1 to 65535/],
    ['redis+sentinel://s1:x/telemetry', /a port that is not a number from 1 to 65535/],
    ['redis+sentinel://s1,S1:26379/telemetry', /the same host twice \(hosts 1 and 2\)/],
    ['redis+sentinel://::1:26379/telemetry', /an IPv6 address goes in brackets/],
    ['redis+sentinel://[::z]/telemetry', /an IPv6 address goes in brackets/],
    ['redis+sentinel://[1::2::3]/telemetry', /an IPv6 address that is wrong/],
    ['redis+sentinel://s 1/telemetry', /a space or a line break/],
    ['redis+sentinel://s1/telemetry?timeout=1', /a query/],
    [`redis+sentinel://u:${marker}%zz@s1/telemetry`, /a wrong percent-encoding/],
    [`redis+sentinel://u:${marker}%00@s1/telemetry`, /control character/],
    [`redis+sentinel://u:${marker}#x@s1/telemetry`, /# in a login must be %23/],
    [`redis+sentinel://u:12/${marker}@s1/telemetry`, /a database that is not a whole number/],
  ])('%s is refused', (url, got) => {
    const [problem, ...others] = problemsOf({ REDIS_URL: url });

    expect(others.filter(({ variable }) => variable !== 'REDIS_URL')).toEqual([]);
    expect(problem).toMatchObject({ variable: 'REDIS_URL', got: expect.stringMatching(got) });
  });

  test('reports everything that is wrong with it at once', () => {
    const [problem] = problemsOf({ REDIS_URL: `redis+sentinel://:${marker}@s1:0,s2,,s2/` });

    expect(problem?.got).toContain('a port that is not a number from 1 to 65535 (host 1 of 4)');
    expect(problem?.got).toContain('an empty host (host 3 of 4)');
    expect(problem?.got).toContain('the same host twice (hosts 2 and 4)');
    expect(problem?.got).toContain('no name of the primary');
  });
});

describe('a URL of Redis Cluster', () => {
  test.each(['', '/', '/0'])('names nodes, with the path %j', (path) => {
    const env = { REDIS_URL: `redis+cluster://u:${marker}@n1:7000,n2${path}`, ...tagged };

    expect(redisOf(env).topology).toEqual({
      kind: 'cluster',
      nodes: [
        { host: 'n1', port: 7000 },
        { host: 'n2', port: 6379 },
      ],
      login: { username: 'u', password: marker },
    });
  });

  test.each([
    ['/1', /a database, where a Redis Cluster has only database 0/],
    ['/telemetry', /a path, which a Redis Cluster has not/],
  ])('with the path %s is refused', (path, got) => {
    const [problem] = problemsOf({ REDIS_URL: `redis+cluster://n1${path}`, ...tagged });

    expect(problem).toMatchObject({ variable: 'REDIS_URL', got: expect.stringMatching(got) });
  });

  test('is refused with a stream whose other keys would lie in other slots', () => {
    expect(problemsOf({ REDIS_URL: 'redis+cluster://n1' })).toMatchObject([
      {
        variable: 'REDIS_TELEMETRY_STREAM',
        got: '"telemetry:teltonika" on a cluster, where its dead letters and switches would lie in other slots',
        expected: expect.stringContaining('STREAM_SHARDS'),
        example: 'REDIS_TELEMETRY_STREAM={telemetry:teltonika}',
      },
    ]);
  });

  test('needs no hash tag with shards, which have their own', () => {
    expect(problemsOf({ REDIS_URL: 'redis+cluster://n1', STREAM_SHARDS: '8' })).toEqual([]);
  });

  test.each([
    ['telemetry:dlq', 1],
    ['{other}:dlq', 1],
    ['{telemetry:teltonika}:letters', 0],
  ])('with the dead-letter stream %s has %i problem', (name, count) => {
    const problems = problemsOf({
      REDIS_URL: 'redis+cluster://n1',
      ...tagged,
      DEAD_LETTER_STREAM: name,
    });

    expect(problems.map(({ variable }) => variable)).toEqual(
      Array.from({ length: count }, () => 'DEAD_LETTER_STREAM'),
    );
  });
});

describe('a list of hosts in another form', () => {
  test.each([
    ['redis://h1:6379,h2:6379', /more than one host.*redis\+sentinel:\/\/.*redis\+cluster:\/\//],
    [`redis://u:${marker}@h1,h2/0`, /more than one host/],
    ['redis-sentinel://s1,s2', /another scheme.*redis\+sentinel:\/\//],
    ['sentinel://s1', /another scheme.*redis\+sentinel:\/\//],
    ['redis+socket:///run/redis.sock', /another scheme/],
  ])('%s is refused with the form to use', (url, got) => {
    expect(problemsOf({ REDIS_URL: url })).toMatchObject([
      { variable: 'REDIS_URL', got: expect.stringMatching(got) },
    ]);
  });
});

describe('settings that only some kinds of URL have', () => {
  test.each([
    [{ REDIS_SENTINEL_PASSWORD: marker }, 'REDIS_SENTINEL_PASSWORD'],
    [{ REDIS_URL: 'redis+sentinel://s1/x', REDIS_SENTINEL_USER: 'u' }, 'REDIS_SENTINEL_USER'],
    [{ REDIS_NAT_MAP: '10.0.0.1:6379=h:6379' }, 'REDIS_NAT_MAP'],
    [{ REDIS_URL: 'redis+sentinel://s1/x', REDIS_NAT_MAP: '10.0.0.1=h:6379' }, 'REDIS_NAT_MAP'],
    [{ REDIS_URL: 'redis+sentinel://s1/x', REDIS_NAT_MAP: 'a:1=b:1,a:1=c:1' }, 'REDIS_NAT_MAP'],
    [{ REDIS_URL: 'redis+sentinel://s1/x', REDIS_NAT_MAP: 'a:1=b:1,' }, 'REDIS_NAT_MAP'],
    [{ REDIS_URL: 'redis+sentinel://s1/x', REDIS_CA_FILE: '/run/ca.pem' }, 'REDIS_CA_FILE'],
  ])('%o is refused at %s', (env, variable) => {
    const problems = problemsOf(env);

    expect(problems.length).toBeGreaterThan(0);
    expect(new Set(problems.map((problem) => problem.variable))).toEqual(new Set([variable]));
  });

  test('announced addresses are mapped to those that this machine reaches', () => {
    const env = {
      REDIS_URL: 'redis+sentinel://s1/telemetry',
      REDIS_NAT_MAP: '10.0.0.1:6379=redis-1.example:16379,[fd00::2]:6379=redis-2:6379',
    };

    expect(redisOf(env).natMap).toEqual([
      { from: { host: '10.0.0.1', port: 6379 }, to: { host: 'redis-1.example', port: 16_379 } },
      { from: { host: 'fd00::2', port: 6379 }, to: { host: 'redis-2', port: 6379 } },
    ]);
  });
});

describe('output', () => {
  test.each([
    [
      `redis+sentinel://user:${marker}@s1:26379,s2:26379/telemetry/2`,
      'redis+sentinel://***:***@s1:26379,s2:26379/telemetry/2',
    ],
    [`rediss+sentinel://:${marker}@s1,s2/telemetry`, 'rediss+sentinel://:***@s1,s2/telemetry'],
    [`redis+sentinel://${marker}@s1/telemetry`, 'redis+sentinel://***@s1/telemetry'],
    ['redis+cluster://n1:7000,n2:7001', 'redis+cluster://n1:7000,n2:7001'],
    [`redis+cluster://u:${marker}@[::1]:1,n2`, 'redis+cluster://***:***@[::1]:1,n2'],
    [`redis+cluster://u:a@${marker}@n1,n2`, 'redis+cluster://***:***@n1,n2'],
    [`nothing ${marker},x`, '(not a URL)'],
  ])('shows the hosts of a URL and no login', (url, shown) => {
    expect(redactUrl(url)).toBe(shown);
  });

  test('of the configuration holds no login in any of its fields', () => {
    for (const url of [
      `redis://u-${marker}:${marker}@h/1`,
      `redis+sentinel://u-${marker}:${marker}@s1,s2/telemetry`,
      `redis+cluster://u-${marker}:${marker}@n1,n2`,
    ]) {
      const sentinel = { REDIS_SENTINEL_USER: `s-${marker}`, REDIS_SENTINEL_PASSWORD: marker };
      const env = { REDIS_URL: url, ...tagged, ...(url.includes('sentinel') ? sentinel : {}) };
      const result = load(env);
      if (!result.ok) throw new Error(formatProblems(result.problems));

      expect(JSON.stringify(describeConfig(result.config))).not.toContain(marker);
    }
  });
});
