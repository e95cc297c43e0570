import { describe, expect, test } from 'vitest';
import { createFleet } from '../../src/simulator/fleet.ts';
import { realHabits } from '../../src/simulator/habits.ts';
import { eventually, type RunningService } from '../../tools/service.ts';
import { deadLetters, entryFields, imei, stream, useStack } from './stack.ts';

const stack = useStack();
const entries = 300;

/** A real fleet's entries, all of both forms, and the service that has settled them. */
async function settledFleet(): Promise<RunningService> {
  const fleet = createFleet({
    seed: 3,
    baseTime: Date.now() - 60_000,
    devices: 20,
    form: 'mixed',
    packetRecords: 5,
    habits: realHabits,
    expectedRecords: 2000,
  });
  for (let at = 0; at < entries; at += 1) {
    await stack.redis.xadd(stream, '*', ...fleet.next().fields);
  }
  const service = stack.service('one');
  await service.untilReady();
  await eventually('all is settled', async () => {
    const [group] = await stack.redis.xinfo('GROUPS', stream).then((groups) => [groups].flat());
    const text = JSON.stringify(group);
    return /"pending",0,/.test(text) && /"lag",0\]/.test(text) ? true : undefined;
  });
  return service;
}

async function verify(...words: string[]) {
  const { code, stdout, stderr } = await stack.processor('verify', '--json', ...words);
  return { code, stderr, result: stdout === '' ? null : JSON.parse(stdout) };
}

describe('processor verify', () => {
  test('finds every record of a real fleet as a row, a dead letter or a message, and a balanced account', async () => {
    const service = await settledFleet();
    const url = `${await service.url()}/metrics`;
    const outcome = (name: string) => service.metric(`processor_records_total{outcome="${name}"}`);

    const { code, stderr, result } = await verify('--metrics-url', url);
    expect([code, stderr]).toEqual([0, '']);
    expect(result).toMatchObject({ entries, missing: 0, letter_gone: 0, pending: 0 });
    expect(result.stored).toBe((await outcome('inserted')) + (await outcome('duplicate')));
    expect(result.conflict).toBe(await outcome('conflict'));
    expect(result.dead_letter).toBe(await outcome('dead_letter'));
    expect(result.message).toBe(await outcome('message'));
    expect(result.dead_letter).toBeGreaterThan(0);
    expect(result.residuals).toEqual([{ url, residual: 0 }]);
  });

  test('finds exactly the missing row, and exits with 4', async () => {
    await stack.service('one').untilReady();
    for (let index = 0; index < 5; index += 1) {
      await stack.redis.xadd(stream, '*', ...entryFields(index));
    }
    await eventually('5 rows', async () =>
      (await stack.query('SELECT 1 FROM public.positions')).length === 5 ? true : undefined,
    );
    await stack.query(`DELETE FROM public.positions WHERE device_id = '${imei(3)}'`);

    const { code, result } = await verify();
    expect(code).toBe(4);
    expect(result).toMatchObject({ records: 5, stored: 4, missing: 1 });
    expect(result.findings).toMatchObject([{ fate: 'missing', device: imei(3), record_index: 0 }]);
    expect((await verify('--device', imei(1))).result).toMatchObject({ records: 1, stored: 1 });
    const text = await stack.processor('verify');
    expect(text.stdout).toMatch(/^missing +1$/m);
    expect(text.stdout).not.toContain('trimmed');
    expect(text.stdout).toMatch(new RegExp(`^missing +\\d+-\\d+ +0 +${imei(3)}`, 'm'));
  });

  test('reports a missing dead letter with exit code 3, and not as lost', async () => {
    await stack.service('one').untilReady();
    await stack.redis.xadd(stream, '*', ...entryFields(0, { latitude: 95 }));
    await eventually('a dead letter', async () =>
      (await stack.redis.xlen(deadLetters)) === 1 ? true : undefined,
    );
    expect(await verify()).toMatchObject({ code: 0, result: { dead_letter: 1 } });
    await stack.redis.del(deadLetters);

    expect(await verify()).toMatchObject({ code: 3, result: { letter_gone: 1, missing: 0 } });
  });

  test('does not take the dead letter of another entry that had the id for that of this one', async () => {
    await stack.service('one').untilReady();
    await stack.redis.xadd(stream, '*', ...entryFields(0, { latitude: 95 }));
    const [id, fields] = await eventually('a dead letter', async () =>
      (await stack.redis.xrange(deadLetters, '-', '+')).at(0),
    );
    await stack.redis.xdel(deadLetters, id);
    const other = fields.with(fields.indexOf('fields_sha256') + 1, '0'.repeat(64));
    await stack.redis.xadd(deadLetters, '*', ...other);

    expect(await verify()).toMatchObject({ code: 3, result: { letter_gone: 1, dead_letter: 0 } });
  });

  test('counts unsettled records as pending or undelivered', async () => {
    for (let index = 0; index < 6; index += 1) {
      await stack.redis.xadd(stream, '*', ...entryFields(index));
    }
    await stack.processor('migrate', 'up', '--yes');
    await stack.redis.xgroup('CREATE', stream, 'processor', '0');
    await stack.redis.xreadgroup('GROUP', 'processor', 'x', 'COUNT', 2, 'STREAMS', stream, '>');

    const { code, result } = await verify();
    expect(code).toBe(0);
    expect(result).toMatchObject({ records: 6, pending: 2, undelivered: 4, missing: 0 });
  });

  test('ends with 3 when a part of the range was trimmed and could not be examined', async () => {
    await stack.processor('migrate', 'up', '--yes');
    for (let index = 0; index < 6; index += 1) {
      await stack.redis.xadd(stream, '*', ...entryFields(index));
    }
    await stack.redis.xgroup('CREATE', stream, 'processor', '0');
    await stack.redis.xtrim(stream, 'MAXLEN', 3);

    const { code, result } = await verify();
    expect(code).toBe(3);
    expect(result).toMatchObject({
      records: 3,
      missing: 0,
      not_examined_at_most: 3,
      trimmed_before: expect.any(String),
    });
    const { stdout } = await stack.processor('verify');
    expect(stdout).toMatch(/^up to 3 entries could not be examined: trimmed .* before \d+-\d+$/m);
    const [oldest] = await stack.redis.xrange(stream, '-', '+', 'COUNT', 1);
    const from = new Date(Number.parseInt(oldest?.[0] ?? '', 10)).toISOString();
    expect((await verify('--from', from)).code).toBe(0);
  });

  test('lists missing records before missing dead letters, and counts the rest', async () => {
    await stack.service('one').untilReady();
    for (let index = 0; index < 8; index += 1) {
      await stack.redis.xadd(stream, '*', ...entryFields(index, index < 5 ? { latitude: 95 } : {}));
    }
    await eventually('3 rows and the dead letters', async () =>
      (await stack.query('SELECT 1 FROM public.positions')).length === 3 &&
      (await stack.redis.xlen(deadLetters)) === 5
        ? true
        : undefined,
    );
    await stack.redis.del(deadLetters);
    await stack.query('DELETE FROM public.positions');

    const { code, result } = await verify('--limit', '4');
    expect(code).toBe(4);
    expect(result.findings.map(({ fate }: { fate: string }) => fate)).toEqual([
      'missing',
      'missing',
      'missing',
      'letter_gone',
    ]);
    expect(result.findings_not_listed).toBe(4);
    const { stdout } = await stack.processor('verify', '--limit', '4');
    expect(stdout).toMatch(/^and 4 more; list them with --limit$/m);
    expect(stdout).toMatch(/^missing: rows were deleted, an older backup was restored, or /m);
  });

  test('reports an instance that does not answer', async () => {
    await stack.processor('migrate', 'up', '--yes');

    expect((await verify('--metrics-url', 'http://127.0.0.1:9/metrics')).code).toBe(1);
  });
});

describe('processor device show', () => {
  test('shows the newest record with its named IO elements, dead letters and pending entries', async () => {
    await stack.service('one').untilReady();
    await stack.redis.xadd(stream, '*', ...entryFields(1, { attributes: { '66': 12_345 } }));
    await stack.redis.xadd(stream, '*', ...entryFields(1, { latitude: 95 }));
    await eventually('a row and a dead letter', async () =>
      (await stack.query('SELECT 1 FROM public.positions')).length === 1 &&
      (await stack.redis.xlen(deadLetters)) === 1
        ? true
        : undefined,
    );

    const { code, stdout } = await stack.processor('device', 'show', imei(1));
    expect(code).toBe(0);
    expect(stdout).toMatch(/^last fix +54\.7, 25\.3 at /m);
    expect(stdout).toMatch(/^last day +1 record, by their own time$/m);
    expect(stdout).toMatch(/^dead letters +latitude_out_of_range 1$/m);
    expect(stdout).toMatch(/^ {2}66 +\S.*12[.,]?345/m);
    const json = JSON.parse((await stack.processor('device', 'show', imei(1), '--json')).stdout);
    expect(json).toMatchObject({
      rows_last_day: 1,
      dead_letters: { latitude_out_of_range: 1 },
      last_fix: { latitude: 54.7, longitude: 25.3 },
    });
  });

  test('shows no record of an unknown device, and refuses an invalid IMEI', async () => {
    await stack.processor('migrate', 'up', '--yes');
    await stack.redis.xgroup('CREATE', stream, 'processor', '0', 'MKSTREAM');

    const { stdout } = await stack.processor('device', 'show', imei(9));
    expect(stdout).toMatch(/^newest record +none in the table$/m);
    expect((await stack.processor('device', 'show', '123')).code).toBe(2);
  });
});
