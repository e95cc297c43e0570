import { describe, expect, test } from 'vitest';
import { createLogger, describeError, scrub } from '../../src/observability/logger.ts';

const imei = '352093081452251';
const marker = 'hunter2-marker';

function setUp(level: 'debug' | 'info' | 'warn' | 'error' = 'info') {
  const lines: string[] = [];
  const log = createLogger({
    level,
    env: 'test',
    instance: 'i1',
    destination: { write: (line) => void lines.push(line) },
  });
  return { log, lines, last: (): unknown => JSON.parse(lines.at(-1) ?? 'null') };
}

describe('a log line', () => {
  test('is one line of JSON with ts, level, service, env, instance, msg and the fields', () => {
    const { log, lines, last } = setUp();

    log.warn({ rows: 7, closed_by: 'idle' }, 'batch\nwritten');

    expect(last()).toEqual({
      level: 'warn',
      ts: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/),
      service: 'processor',
      env: 'test',
      instance: 'i1',
      rows: 7,
      closed_by: 'idle',
      msg: 'batch\nwritten',
    });
    expect(lines[0]?.trimEnd().split('\n')).toHaveLength(1);
  });

  test('below the minimum level is not written', () => {
    const { log, lines } = setUp('warn');
    log.debug({}, 'a');
    log.info({}, 'b');
    log.warn({}, 'c');
    log.error({}, 'd');

    expect(lines.map((line) => JSON.parse(line).msg)).toEqual(['c', 'd']);
  });
});

describe('what must not be logged', () => {
  test.each(['url', 'password', 'device_id', 'deviceId', 'imei', 'latitude', 'longitude'])(
    'a field %s is redacted, at the top and one level down',
    (name) => {
      const { log, lines, last } = setUp();

      log.error({ [name]: marker, inner: { [name]: marker, kept: 1 } }, 'x');

      expect(lines.join('')).not.toContain(marker);
      expect(last()).toMatchObject({ [name]: '[redacted]', inner: { kept: 1 } });
    },
  );

  test('logins in URLs and IMEIs are removed from messages, stacks and causes of errors', () => {
    const { log, lines, last } = setUp();
    const cause = new Error(`connect postgres://user:${marker}@db:5432/x for ${imei}`);
    const err = Object.assign(new Error(`no redis://:${marker}@redis`, { cause }), {
      code: 'ECONNREFUSED',
    });

    log.error({ err }, 'x');

    expect(lines.join('')).not.toContain(marker);
    expect(lines.join('')).not.toContain(imei);
    expect(last()).toMatchObject({
      err: {
        type: 'Error',
        code: 'ECONNREFUSED',
        message: 'no redis://***@redis',
        cause: { message: 'connect postgres://***@db:5432/x for [imei]' },
      },
    });
  });

  test('the fields that pg adds to an error, such as whole rows, are omitted', () => {
    const error = Object.assign(new Error('violates check'), {
      code: '23514',
      detail: `Failing row contains (${imei}, 54.7146)`,
      where: marker,
      parameters: [marker],
    });

    expect(Object.keys(describeError(error)).sort()).toEqual(['code', 'message', 'stack', 'type']);
    expect(JSON.stringify(describeError(error))).not.toContain('54.7146');
  });

  test('a thrown value that is not an error is logged with its type, redacted', () => {
    expect(describeError(`imei ${imei}`)).toEqual({ type: 'string', message: 'imei [imei]' });
  });

  test('numbers of another length stay', () => {
    expect(scrub(`1772366400123 ${imei}0 ${imei}`)).toBe(`1772366400123 ${imei}0 [imei]`);
  });
});

describe('the logged part of an error is bounded', () => {
  test('its text', () => {
    expect(describeError(new Error('x'.repeat(100_000))).message).toHaveLength(2000);
  });

  test('its causes, even where they turn in a circle', () => {
    const error = new Error('round');
    error.cause = error;

    expect(JSON.stringify(describeError(error)).match(/"type"/g)).toHaveLength(5);
  });
});
