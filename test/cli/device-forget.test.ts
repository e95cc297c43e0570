import { createHmac } from 'node:crypto';
import { expect, test } from 'vitest';
import { eventually, type RunningService } from '../../tools/service.ts';
import { deadLetters, entryFields, imei, stream, useStack } from './stack.ts';

/** A service and several commands, each a process of its own. */
const long = { timeout: 90_000 };
const stack = useStack();
const key = { AUDIT_KEY: 'a key of the test' };
const forget = (...words: string[]) =>
  stack.processorWith(key, 'device', 'forget', imei(1), ...words);

/** All that Redis holds, as text. */
async function everything(): Promise<string> {
  const parts: unknown[] = [];
  for (const name of await stack.redis.keys('*')) {
    const kind = await stack.redis.type(name);
    parts.push(name);
    if (kind === 'stream') parts.push(await stack.redis.xrange(name, '-', '+'));
    else if (kind === 'hash') parts.push(await stack.redis.hgetall(name));
    else if (kind === 'zset') parts.push(await stack.redis.zrange(name, 0, '-1'));
    else parts.push(await stack.redis.get(name));
  }
  return JSON.stringify(parts);
}

async function untilSettled(count: number): Promise<void> {
  await eventually('all is settled', async () => {
    const rows = await stack.query('SELECT 1 FROM public.positions').catch(() => []);
    const deadLetterCount = await stack.redis.xlen(deadLetters);
    const pending = await stack.redis.xpending(stream, 'processor').catch(() => [1]);
    return rows.length + deadLetterCount === count && pending[0] === 0 ? true : undefined;
  });
}

/** Devices whose state the instance holds, as it samples itself. */
async function untilKnown(service: RunningService, devices: number): Promise<void> {
  await eventually(`${devices} devices are known`, async () =>
    (await service.metric('processor_device_state_entries')) === devices ? true : undefined,
  );
}

test(
  'device forget leaves nothing of the device in tables, Redis, state or logs',
  long,
  async () => {
    const one = stack.service('one');
    await one.untilReady();
    for (const device of [1, 2]) {
      await stack.redis.xadd(stream, '*', ...entryFields(device));
      await stack.redis.xadd(stream, '*', ...entryFields(device, { latitude: 'north' }));
    }
    await untilSettled(4);
    await untilKnown(one, 2);
    const lines = ['by', 'anna', 'command', 'device rehydrate', 'detail', imei(1)];
    // As an earlier version wrote it.
    await stack.redis.xadd(`${stream}:control:audit`, '*', ...lines);

    const dryRun = await forget('--dry-run', '--json');
    expect(JSON.parse(dryRun.stdout)).toMatchObject({
      dry_run: true,
      rows: 1,
      dead_letters: 1,
      entries: 2,
      audit_lines: 1,
    });
    expect(await everything()).toContain(imei(1));

    const { code, stdout, stderr } = await forget('--yes', '--json');
    expect(stderr).toBe('');
    expect(code).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({ forgotten: true, rows: 1, dead_letters: 1 });

    expect(await everything()).not.toContain(imei(1));
    expect(await everything()).toContain(imei(2));
    for (const table of ['public.positions', 'positions.devices']) {
      const rows = await stack.query<{ device_id: string }>(`SELECT device_id FROM ${table}`);
      expect(rows, table).toEqual([{ device_id: imei(2) }]);
    }
    await untilKnown(one, 1);
    const mark = createHmac('sha256', key.AUDIT_KEY).update(imei(1)).digest('hex').slice(0, 16);
    const [line] = await stack.redis.xrevrange(`${stream}:control:audit`, '+', '-', 'COUNT', 1);
    expect(line?.[1]).toContain('device forget');
    expect(line?.[1].at(-1)).toContain(`hmac:${mark}`);
    expect(await one.end('SIGTERM')).toBe(0);
    expect(JSON.stringify(one.logs) + one.stderr()).not.toContain(imei(1));
    expect(one.logs.filter(({ msg }) => String(msg).includes('trimmed'))).toEqual([]);
  },
);

test('device forget refuses while entries of the device are not settled', long, async () => {
  await stack.processor('migrate', 'up', '--yes');
  await stack.redis.xadd(stream, '*', ...entryFields(1));

  const { code, stderr } = await forget('--yes');

  expect(code).toBe(1);
  expect(stderr).toContain('not settled in the stream: 1 entry of the device');
  expect(await stack.redis.xlen(stream)).toBe(1);
});

test.each([
  [['--yes'], 0, 'forgot a device (AUDIT_KEY is not set)'],
  [[], 2, 'not done; add --yes'],
])('with %j ends with %i', async (words, code, text) => {
  await stack.processor('migrate', 'up', '--yes');
  const ended = await stack.processor('device', 'forget', imei(1), ...words);
  expect(ended.code).toBe(code);
  expect(`${ended.stdout}${ended.stderr}`).toContain(text);
});

test('the audit of other commands holds no IMEI either', long, async () => {
  await stack.redis.xadd(deadLetters, '*', 'x', 'y');
  await stack.processorWith(key, 'device', 'rehydrate', imei(3), '--yes');
  await stack.processorWith(key, 'dlq', 'purge', '--device', imei(3), '--yes');

  const audit = JSON.stringify(await stack.redis.xrange(`${stream}:control:audit`, '-', '+'));
  expect(audit).not.toContain(imei(3));
  expect(audit.match(/hmac:[0-9a-f]{16}/g)).toHaveLength(2);
});
