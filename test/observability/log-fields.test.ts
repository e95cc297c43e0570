import { describe, expect, test } from 'vitest';
import { createLogger } from '../../src/observability/logger.ts';
import { scrub } from '../../src/observability/scrub.ts';

const secret = 'hunter2-marker';
const imei = '356307042441013';
const schema = ['level', 'ts', 'service', 'env', 'instance'];

/** The one line that is written for these fields. */
function lineOf(fields: object): string {
  const lines: string[] = [];
  const log = createLogger({
    level: 'debug',
    env: 'test',
    instance: 'one',
    destination: { write: (line) => lines.push(line) },
  });
  log.debug(fields, 'message');
  expect(lines).toHaveLength(1);
  return lines[0] ?? '';
}

const pgError = Object.assign(new Error(`invalid input syntax for type integer: "${secret} x"`), {
  code: '22P02',
  detail: `Failing row contains (${imei}, ${secret})`,
  where: `unnamed portal parameter $1 = '${secret}'`,
  parameters: [secret],
});

describe('a planted secret, IMEI or coordinate', () => {
  test.each([
    ['a secret deep in the fields', { a: { b: { c: { redis_password: secret } } } }],
    ['a secret in a list', { logins: [{ user: 'me', password: secret }] }],
    ['a token under a compound name', { API_KEY: secret, authToken: secret }],
    ['a URL with a password', { target: `redis://user:${secret}@host:6379/0` }],
    ['a password that holds / and @', { target: `redis://user:${secret}/${secret}@x@host` }],
    ['a URL field with a password in its query', { url: `postgres://db/x?password=${secret}` }],
    ['a connection string', { text: `host=db password=${secret} user=me` }],
    ['a quoted connection string', { text: `host=db password='${secret} two' user=me` }],
    ['an IMEI in a text', { note: `device ${imei} refused` }],
    ['an IMEI as a number', { n: Number(imei), big: BigInt(imei) }],
    ['an IMEI as a name', { seen: { [imei]: 1 } }],
    ['an IMEI under a compound name', { lastDeviceId: imei.slice(1) }],
    ['coordinates', { fix: { lat: 54.6872, lon: 25.2797, latitude: 54.6872 } }],
    ['an error of pg as err', { err: pgError }],
    ['an error of pg under another name', { cause: pgError, list: [pgError] }],
    ['an error of pg as a cause', { err: new Error('x', { cause: pgError }) }],
    ['bytes', { payload: Buffer.from(`${secret}${imei}`) }],
  ])('is not written: %s', (_, fields) => {
    const line = lineOf(fields);
    for (const marker of [secret, imei, imei.slice(1), '54.6872', '25.2797', 'Failing row']) {
      expect(line).not.toContain(marker);
    }
    expect(line).not.toContain(Buffer.from(secret).join(','));
  });

  test('is not written where a text is cut, at any position of the login', () => {
    const login = `postgres://user:${secret}@db/x`;
    for (let before = 1950; before <= 2010; before += 1) {
      expect(lineOf({ err: new Error(`${'y'.repeat(before)} ${login}`) })).not.toContain('hunter');
    }
  });
});

describe('what stays readable', () => {
  test('a URL without a login stays, and one that was already redacted', () => {
    const fields = { url: 'redis://redis:6379/0', database_url: 'postgres://***@db:5432/x' };
    expect(JSON.parse(lineOf(fields))).toMatchObject(fields);
  });

  test('entry ids, counts, times and names of tables stay', () => {
    const fields = { entry_id: '1763683200123-0', rows: 5000, micros: 1_763_683_200_123_456 };
    const err = new Error('relation "positions" does not exist');
    expect(JSON.parse(lineOf({ ...fields, err }))).toMatchObject({
      ...fields,
      err: { type: 'Error', message: err.message },
    });
  });

  test('the path of a scoped package in a stack stays', () => {
    const line = '    at read (file:///app/node_modules/@scope/name/index.js:1:2)';
    expect(scrub(line)).toBe(line);
  });

  test('an error keeps its type, code, message, stack and chain of causes', () => {
    const err = new TypeError('outer', {
      cause: Object.assign(new Error('inner'), { code: 'E1' }),
    });
    expect(JSON.parse(lineOf({ err })).err).toEqual({
      type: 'TypeError',
      message: 'outer',
      stack: expect.stringContaining('log-fields.test'),
      cause: { type: 'Error', code: 'E1', message: 'inner', stack: expect.any(String) },
    });
  });

  test('a refused connection whose text is only in its inner errors keeps it', () => {
    const inner = ['::1', '127.0.0.1'].map((host) => new Error(`connect ECONNREFUSED ${host}:1`));
    expect(JSON.parse(lineOf({ err: new AggregateError(inner, '') })).err.message).toBe(
      'connect ECONNREFUSED ::1:1; connect ECONNREFUSED 127.0.0.1:1',
    );
  });
});

describe('a line', () => {
  test('keeps its schema when a field has the name of one of its own', () => {
    const line = lineOf({
      msg: 'mine',
      level: 'mine',
      ts: 1,
      service: 'mine',
      env: 1,
      instance: 1,
    });
    const names = [...line.matchAll(/"([a-z_]+)":/g)].map(([, name]) => name);
    expect(names).toEqual([
      ...schema,
      'msg_',
      'level_',
      'ts_',
      'service_',
      'env_',
      'instance_',
      'msg',
    ]);
  });

  test.each([
    ['a long text', { text: 'x'.repeat(1_000_000) }],
    [
      'many texts',
      Object.fromEntries(Array.from({ length: 9999 }, (_, n) => [`k${n}`, 'x'.repeat(999)])),
    ],
    ['a long list', { list: Array.from({ length: 100_000 }, (_, n) => n) }],
    ['a long name', { ['n'.repeat(1_000_000)]: 1 }],
    ['an error with a long message', { err: new Error('x'.repeat(1_000_000)) }],
    ['wide and deep', { all: wide(6) }],
  ])('is bounded: %s', (_, fields) => {
    expect(lineOf(fields).length).toBeLessThan(32_768);
  });

  test('bounds the chain of causes', () => {
    const chain = Array.from({ length: 50 }).reduce<Error>(
      (cause) => new Error('x', { cause }),
      new Error('last'),
    );
    expect(lineOf({ err: chain })).not.toContain('last');
  });

  test.each([
    ['a circle', circle()],
    [
      'a getter that throws',
      {
        get broken() {
          throw new Error('x');
        },
      },
    ],
    [
      'an error with a message that is none',
      { err: Object.assign(new Error('x'), { message: 5 }) },
    ],
    ['an object without a prototype as an error', { err: Object.create(null) }],
    [
      'a thrown value that cannot be printed',
      { err: new Error('x', { cause: Object.create(null) }) },
    ],
    [
      'values JSON does not know',
      { f: () => 1, s: Symbol('s'), b: 1n, d: new Date(Number.NaN), m: new Map() },
    ],
  ])('is written whatever it is given: %s', (_, fields) => {
    expect(JSON.parse(lineOf(fields))).toMatchObject({ msg: 'message', level: 'debug' });
  });
});

function wide(depth: number): unknown {
  return depth === 0 ? 'x'.repeat(50) : Array.from({ length: 12 }, () => wide(depth - 1));
}

function circle(): object {
  const made: { self?: object } = {};
  made.self = made;
  return made;
}
