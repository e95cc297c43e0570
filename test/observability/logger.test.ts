import { describe, expect, it } from 'vitest';
import { createLogger, scrub } from '../../src/observability/logger.ts';

const secret = 'hunter2-marker';
const imei = '356307042441013';

function capture(work: (log: ReturnType<typeof createLogger>) => void): string[] {
  const lines: string[] = [];
  work(
    createLogger({
      ...{ level: 'info', env: 'test', instance: 'one' },
      destination: { write: (line) => lines.push(line) },
    }),
  );
  return lines;
}

describe('the log', () => {
  it('is JSON lines of a stable schema: ts, level, service, env, instance, msg, fields', () => {
    const [line = '{}'] = capture((log) => log.info({ rows: 3 }, 'batch written'));
    const parsed = JSON.parse(line);
    expect(parsed).toMatchObject({
      ...{ level: 'info', service: 'processor', env: 'test', instance: 'one' },
      ...{ rows: 3, msg: 'batch written' },
    });
    expect(new Date(parsed.ts).toISOString()).toBe(parsed.ts);
  });

  it('never holds a password, an IMEI or a row that PostgreSQL put into an error', () => {
    const cause = Object.assign(new Error(`connect postgres://user:${secret}@db/x failed`), {
      code: '23514',
      detail: `Failing row contains (${imei}, 54.7)`,
      where: `COPY positions, line 1: ${secret}`,
    });
    const error = new Error(`device ${imei} refused`, { cause });
    const text = capture((log) => {
      log.error({ err: error, url: `redis://:${secret}@r`, imei }, 'failed');
      log.warn({ inner: { password: secret, latitude: 54.7 } }, 'failed');
    }).join('');
    expect(text).not.toContain(secret);
    expect(text).not.toContain(imei);
    expect(text).not.toContain('54.7');
    expect(text).toContain('23514');
  });

  it('bounds what it says of an error', () => {
    expect(scrub('x'.repeat(1_000_000)).length).toBeLessThanOrEqual(2000);
  });

  it('leaves out what is below its level', () => {
    expect(capture((log) => log.debug({}, 'detail'))).toEqual([]);
  });
});
