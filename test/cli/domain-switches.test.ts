import { beforeEach, describe, expect, test } from 'vitest';
import { imei, stream, useStack } from './stack.ts';

const stack = useStack();
const audit = `${stream}:control:audit`;

beforeEach(async () => {
  const { code, stderr } = await stack.processor('migrate', 'up', '--yes');
  expect([code, stderr]).toEqual([0, '']);
});

async function auditLines(): Promise<string[]> {
  const entries = await stack.redis.xrange(audit, '-', '+');
  return entries.map(([, fields]) => fields.join(' ')).filter((line) => line.includes('domain '));
}

describe('processor domain pause and resume', () => {
  const pauses = () => stack.query('SELECT by_whom, reason FROM positions.domain_pause');

  test('set and remove the pause, with an audit line each', async () => {
    const words = ['--reason', 'drawing geofences', '--by', 'ann', '--yes'];
    const paused = await stack.processor('domain', 'pause', ...words);
    expect([paused.code, paused.stderr]).toEqual([0, '']);
    expect(await pauses()).toEqual([{ by_whom: 'ann', reason: 'drawing geofences' }]);

    const resumed = await stack.processor('domain', 'resume', '--yes', '--json');
    expect(resumed.code).toBe(0);
    expect(JSON.parse(resumed.stdout)).toMatchObject({
      resumed: true,
      pause: { by: 'ann', reason: 'drawing geofences' },
    });
    expect(await pauses()).toEqual([]);
    const lines = await auditLines();
    expect(lines).toHaveLength(2);
    expect(lines[0]).toContain('by ann command domain pause detail drawing geofences');
    expect(lines[1]).toContain('command domain resume detail paused by ann');
  });

  test('change nothing a second time, and write no audit line', async () => {
    await stack.processor('domain', 'pause', '--reason', 'first', '--by', 'ann', '--yes');
    const again = ['--reason', 'second', '--yes', '--json'];
    const paused = await stack.processor('domain', 'pause', ...again);
    expect(JSON.parse(paused.stdout)).toEqual({ paused: true, changed: false });
    expect(await pauses()).toEqual([{ by_whom: 'ann', reason: 'first' }]);
    await stack.processor('domain', 'resume', '--yes');
    const resumed = await stack.processor('domain', 'resume', '--yes');
    expect(resumed.stdout).toBe('the domain was not paused\n');
    expect(await auditLines()).toHaveLength(2);
  });

  test('with --dry-run change nothing', async () => {
    const dry = await stack.processor('domain', 'pause', '--reason', 'x', '--dry-run', '--json');
    expect([dry.code, JSON.parse(dry.stdout)]).toEqual([0, { dry_run: true, paused: false }]);
    expect(await pauses()).toEqual([]);
    await stack.processor('domain', 'pause', '--reason', 'x', '--yes');
    await stack.processor('domain', 'resume', '--dry-run');
    expect(await pauses()).toHaveLength(1);
  });

  test('without consent are not carried out', async () => {
    const { code, stderr } = await stack.processor('domain', 'pause', '--reason', 'x');
    expect(code).toBe(2);
    expect(stderr).toContain('add --yes');
    expect(await pauses()).toEqual([]);
  });
});

describe('processor domain retry', () => {
  const outbox = () =>
    stack.query(`SELECT device_id, from_ts::text, to_ts::text FROM positions.outbox ORDER BY 1`);
  const parked = () => stack.query('SELECT device_id FROM positions.outbox_parked ORDER BY 1');

  beforeEach(async () => {
    await stack.query(`INSERT INTO positions.outbox_parked (device_id, from_ts, to_ts, attempts, error)
      SELECT d, '2026-01-01Z', 'infinity', 5, '22003' FROM unnest(ARRAY['${imei(1)}', '${imei(2)}']) AS d`);
  });

  test('returns the whole range of one device to the outbox', async () => {
    const { code, stdout } = await stack.processorWith(
      { AUDIT_KEY: 'a-key-of-at-least-sixteen-characters' },
      'domain',
      'retry',
      '--device',
      imei(1),
      '--yes',
    );
    expect([code, stdout]).toEqual([0, 'returned the ranges of 1 device to the outbox\n']);
    expect(await outbox()).toEqual([
      { device_id: imei(1), from_ts: expect.stringContaining('2026-01-01'), to_ts: 'infinity' },
    ]);
    expect(await parked()).toEqual([{ device_id: imei(2) }]);
    const [line] = await auditLines();
    expect(line).toContain('devices=1');
    expect(line).not.toContain(imei(1));
  });

  test('returns all, and then finds nothing more', async () => {
    const first = await stack.processor('domain', 'retry', '--all', '--yes', '--json');
    expect(JSON.parse(first.stdout)).toEqual({ retried: 2 });
    expect(await outbox()).toHaveLength(2);
    const second = await stack.processor('domain', 'retry', '--all');
    expect([second.code, second.stdout]).toEqual([0, 'no device is parked\n']);
    expect(await auditLines()).toHaveLength(1);
  });

  test('with --dry-run changes nothing', async () => {
    const { stdout } = await stack.processor('domain', 'retry', '--all', '--dry-run', '--json');
    expect(JSON.parse(stdout)).toEqual({ dry_run: true, retried: 0, parked: 2 });
    expect(await parked()).toHaveLength(2);
  });
});

test('a database without the migrations is named, and nothing is done', async () => {
  await stack.query('DROP TABLE positions.domain_pause');
  const { code, stderr } = await stack.processor('domain', 'pause', '--reason', 'x', '--yes');
  expect(code).toBe(1);
  expect(stderr).toContain('42P01: a table is missing: run the migrations');
});
