import { readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { beforeEach, describe, expect, test } from 'vitest';
import { eventually, type RunningService } from '../../tools/service.ts';
import { deadLetters, entryFields, imei, stream, useStack } from './stack.ts';

const stack = useStack();
const letterCount = () => stack.redis.xlen(deadLetters);

const untilLetters = (count: number) =>
  eventually(`${count} dead letters`, async () =>
    (await letterCount()) === count ? true : undefined,
  );

/** One good entry, two with a latitude out of range, one of no form at all. */
async function sendGoodAndBad(): Promise<RunningService> {
  const service = stack.service('one');
  await service.untilReady();
  await stack.redis.xadd(stream, '*', ...entryFields(0));
  await stack.redis.xadd(stream, '*', ...entryFields(1, { latitude: 95 }));
  await stack.redis.xadd(stream, '*', ...entryFields(2, { latitude: -95 }));
  await stack.redis.xadd(stream, '*', 'device_id', imei(3), 'frame', Buffer.from([0, 255, 1]));
  await untilLetters(3);
  return service;
}

const stored = async () =>
  (
    await stack.query<{ device_id: string }>('SELECT device_id FROM public.positions ORDER BY 1')
  ).map((row) => row.device_id);
const audit = async () =>
  (await stack.redis.xrange(`${stream}:control:audit`, '-', '+')).map(([, fields]) => fields[3]);

describe('processor dlq', () => {
  beforeEach(sendGoodAndBad);

  test('lists dead letters newest first, filtered by reason, device and time', async () => {
    await stack.redis.xadd(deadLetters, '*', 'hello', 'world');

    const all = await stack.processor('dlq', 'list');
    expect(all.stderr).toBe('');
    expect(all.stdout.split('\n')[0]).toMatch(
      /^DEAD LETTER +AGE +STAGE +REASON +DEVICE +RECORDS +MESSAGE$/,
    );
    expect(all.stdout).toContain('malformed');
    const list = async (...words: string[]) => {
      const { code, stdout } = await stack.processor('dlq', 'list', '--json', ...words);
      expect(code).toBe(0);
      return JSON.parse(stdout).letters;
    };
    expect(await list('--reason', 'latitude_out_of_range')).toMatchObject([
      { device: imei(2), records: 1, rejections: [{ stage: 'validate', records: null }] },
      { device: imei(1) },
    ]);
    expect(await list('--device', imei(1))).toHaveLength(1);
    expect(await list('--stage', 'decode')).toHaveLength(1);
    expect(await list('--since', '1h')).toHaveLength(4);
    expect(await list('--until', '1h')).toHaveLength(0);
    expect(await list('--limit', '2')).toHaveLength(2);
  });

  test('refuses an unknown reason, and an invalid time', async () => {
    expect((await stack.processor('dlq', 'list', '--reason', 'bad')).code).toBe(2);
    expect((await stack.processor('dlq', 'list', '--since', 'yesterday')).stderr).toMatch(/30m/);
  });

  test('shows a dead letter with its fields, and reports an unknown id', async () => {
    const [deadLetter] = JSON.parse(
      (await stack.processor('dlq', 'list', '--json')).stdout,
    ).letters;

    const shown = await stack.processor('dlq', 'show', deadLetter.id);
    expect(shown.stdout).toMatch(/frame +0x00ff01/);
    expect(shown.stdout).toMatch(/replay +possible/);
    const none = await stack.processor('dlq', 'show', '1-1');
    expect([none.code, none.stderr]).toEqual([1, expect.stringContaining('no dead letter')]);
  });

  test('counts by reason, stage and device', async () => {
    const { stdout } = await stack.processor('dlq', 'stats', '--json');

    expect(JSON.parse(stdout)).toMatchObject({
      letters: 3,
      records: 3,
      length: 3,
      dropped_entries: 0,
      by_reason: { latitude_out_of_range: 2 },
      by_stage: { validate: 2, decode: 1 },
    });
    expect((await stack.processor('dlq', 'stats')).stdout).toContain('records by reason');
  });

  test('exports every byte, and never overwrites a file', async () => {
    const file = join(tmpdir(), `dead-letters-${process.pid}-${Date.now()}.ndjson`);
    try {
      expect((await stack.processor('dlq', 'export', '--to', file)).code).toBe(0);
      const lines = (await readFile(file, 'utf8'))
        .trim()
        .split('\n')
        .map((line) => JSON.parse(line));
      expect(lines).toHaveLength(3);
      const frame = lines[2].fields.find(
        (field: { name: { text?: string } }) => field.name.text === 'frame',
      );
      expect(Buffer.from(frame.value.base64, 'base64')).toEqual(Buffer.from([0, 255, 1]));
      expect((await stack.processor('dlq', 'export', '--to', file)).code).toBe(1);
    } finally {
      await rm(file, { force: true });
    }
    expect((await stack.processor('dlq', 'export', '--to', '-')).stdout.split('\n')).toHaveLength(
      4,
    );
  });

  test('purges only the selected dead letters, and writes an audit line', async () => {
    expect((await stack.processor('dlq', 'purge', '--yes')).code).toBe(2);
    expect((await stack.processor('dlq', 'purge', '--all')).code).toBe(2);
    expect((await stack.processor('dlq', 'purge', '--all', '--dry-run')).stdout).toMatch(
      /would delete 3/,
    );
    expect(await letterCount()).toBe(3);

    const purged = await stack.processor('dlq', 'purge', '--device', imei(1), '--yes', '--json');
    expect(JSON.parse(purged.stdout)).toEqual({ letters: 1, purged: 1 });
    expect(await letterCount()).toBe(2);
    expect((await stack.processor('dlq', 'purge', '--all', '--yes')).code).toBe(0);
    expect(await letterCount()).toBe(0);
    expect(await audit()).toEqual(['dlq purge', 'dlq purge']);
  });

  test('replays a dead letter with a fixed field: stored once, and the dead letter is gone', async () => {
    const fixed = await stack.processor(
      'dlq',
      'replay',
      '--reason',
      'latitude_out_of_range',
      '--device',
      imei(1),
      '--fix',
      'payload.latitude=54.5',
      '--yes',
      '--json',
    );

    expect([fixed.code, fixed.stderr]).toEqual([0, '']);
    expect(JSON.parse(fixed.stdout)).toMatchObject({ stored: 1, rejected_again: 0 });
    expect(await stored()).toEqual([imei(0), imei(1)]);
    expect(await letterCount()).toBe(2);
    expect(await audit()).toEqual(['dlq replay']);
  });

  test('replays an entry that is still bad: the dead letter stays, without a second one', async () => {
    const { code, stdout } = await stack.processor('dlq', 'replay', '--yes', '--json');

    expect(code).toBe(1);
    expect(JSON.parse(stdout)).toMatchObject({
      stored: 0,
      rejected_again: 3,
      reasons: { latitude_out_of_range: 2 },
    });
    expect(await letterCount()).toBe(3);
    expect(await stored()).toEqual([imei(0)]);
  });

  test('replays two entries that had one id, before and after a failover, as two', async () => {
    const [first, second] = await stack.redis.xrange(deadLetters, '-', '+');
    if (first === undefined || second === undefined) throw new Error('two are needed');
    const valueAt = (fields: readonly string[]) => fields.indexOf('entry_id') + 1;
    const id = first[1][valueAt(first[1])] ?? '';
    await stack.redis.del(deadLetters);
    for (const [, fields] of [first, second]) {
      await stack.redis.xadd(deadLetters, '*', ...fields.with(valueAt(fields), id));
    }

    const { stdout } = await stack.processor('dlq', 'replay', '--yes', '--json');

    expect(JSON.parse(stdout)).toMatchObject({ rejected_again: 2 });
    expect(await stack.redis.xlen(stream)).toBe(6);
    expect(await letterCount()).toBe(2);
  });

  test('reports a field that cannot be fixed, and an entry without a payload to fix', async () => {
    expect((await stack.processor('dlq', 'replay', '--fix', 'speed=1', '--yes')).code).toBe(2);
    const { stdout } = await stack.processor(
      'dlq',
      'replay',
      '--stage',
      'decode',
      '--device',
      imei(3),
      '--fix',
      'codec=8',
      '--yes',
      '--json',
    );
    expect(JSON.parse(stdout)).toMatchObject({ not_replayable: 1 });
    expect(await letterCount()).toBe(3);
  });

  test('refuses to write one value into the entries of several devices, and says how many', async () => {
    const fix = ['--fix', 'payload.latitude=54.5'];
    const all = await stack.processor(
      'dlq',
      'replay',
      '--reason',
      'latitude_out_of_range',
      ...fix,
      '--yes',
    );
    expect([all.code, all.stderr]).toEqual([2, expect.stringMatching(/--device.*--id/)]);
    expect(await stack.redis.xlen(stream)).toBe(4);

    const [deadLetter] = JSON.parse(
      (await stack.processor('dlq', 'list', '--device', imei(2), '--json')).stdout,
    ).letters;
    const asked = await stack.processor('dlq', 'replay', '--id', deadLetter.id, ...fix);
    expect(asked.code).toBe(2);
    expect(asked.stderr).toMatch(
      /set payload\.latitude=54\.5 in 1 entry and replay 1 dead letters of 1 device/,
    );
    const fixed = await stack.processor('dlq', 'replay', '--id', deadLetter.id, ...fix, '--yes');
    expect([fixed.code, fixed.stderr]).toEqual([0, '']);
    expect(await stored()).toEqual([imei(0), imei(2)]);
    const [[, note] = []] = await stack.redis.xrange(`${stream}:control:audit`, '-', '+');
    expect(note?.join(' ')).toContain('fix=payload.latitude:');
    expect(note?.join(' ')).not.toContain('54.5');
  });

  test('refuses to replay a dead letter whose kept fields are not those of the entry', async () => {
    const [[id, fields] = ['', []]] = await stack.redis.xrevrangeBuffer(deadLetters, '+', '-');
    const changed = fields.map((part) =>
      part.equals(Buffer.from([0, 255, 1])) ? Buffer.from([0, 255, 2]) : part,
    );
    await stack.redis.xdel(deadLetters, String(id));
    await stack.redis.xadd(deadLetters, '*', ...changed);

    const { code, stdout } = await stack.processor(
      'dlq',
      'replay',
      '--device',
      imei(3),
      '--yes',
      '--json',
    );
    expect(code).toBe(1);
    expect(JSON.parse(stdout)).toMatchObject({ not_replayable: 1 });
    expect(stdout).toContain('SHA-256');
    expect(await stack.redis.xlen(stream)).toBe(4);
  });

  test('changes nothing on a dry run', async () => {
    expect((await stack.processor('dlq', 'replay', '--dry-run')).stdout).toMatch(/would replay 3/);
    expect(await stack.redis.xlen(stream)).toBe(4);
  });
});

describe('processor dlq replay while the service is stopped', () => {
  test('leaves the dead letter as unconfirmed; a later replay stores it once', async () => {
    const service = await sendGoodAndBad();
    await service.end('SIGTERM');
    const replay = () =>
      stack.processor(
        'dlq',
        'replay',
        '--device',
        imei(1),
        '--fix',
        'payload.latitude=54.5',
        '--timeout',
        '1',
        '--yes',
        '--json',
      );

    const first = await replay();
    expect(first.code).toBe(1);
    expect(JSON.parse(first.stdout)).toMatchObject({ stored: 0, unconfirmed: 1 });
    expect(await letterCount()).toBe(3);

    await stack.service('two').untilReady();
    expect(JSON.parse((await replay()).stdout)).toMatchObject({ stored: 1 });
    expect(await stored()).toEqual([imei(0), imei(1)]);
    expect(await letterCount()).toBe(2);
  });
});

describe('a packet with several bad records', () => {
  test('is replayed once for all its dead letters of shape 1', async () => {
    await stack.service('one').untilReady();
    const id = await stack.redis.xadd(stream, '*', ...entryFields(5));
    const deadLetter = [
      'entry_id',
      '7-7',
      'stage',
      'write',
      'reason',
      'row_refused',
      'message',
      'm',
    ];
    const fields = entryFields(5).map((part, at) => (at % 2 === 0 ? `f:${part}` : part));
    for (const index of ['0', '1']) {
      await stack.redis.xadd(deadLetters, '*', ...deadLetter, 'record_index', index, ...fields);
    }

    const { stdout } = await stack.processor('dlq', 'replay', '--yes', '--json');
    expect(JSON.parse(stdout)).toMatchObject({ stored: 1 });
    expect(await stack.redis.xlen(stream)).toBe(2);
    expect(await letterCount()).toBe(0);
    expect(id).not.toBeNull();
  });
});
