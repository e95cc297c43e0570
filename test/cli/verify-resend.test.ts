import { describe, expect, test } from 'vitest';
import { runVerify, type VerifyFlags } from '../../src/cli/verify.ts';
import { createFleet } from '../../src/simulator/fleet.ts';
import { realHabits } from '../../src/simulator/habits.ts';
import { controlKeys } from '../../src/stream/control-keys.ts';
import { eventually } from '../../tools/service.ts';
import { inProcess, noResend } from './in-process.ts';
import { auditOf, fillShard, keyOf, startMs } from './shard-world.ts';
import { deadLetters, entryFields, imei, stream, useStack } from './stack.ts';

const stack = useStack();

const defaults = {
  ...noResend,
  json: false,
  from: Date.now() - 3_600_000,
  limit: 20,
  metricsUrl: [],
};

/** As the command line sets the flags. */
function verifyText(flags: Partial<VerifyFlags> = {}, env: Record<string, string> = {}) {
  return inProcess({ ...stack.env(), ...env }, (io) => runVerify(io, { ...defaults, ...flags }));
}

async function verify(flags: Partial<VerifyFlags> = {}, env: Record<string, string> = {}) {
  const { code, stdout, stderr } = await verifyText({ ...flags, json: true }, env);
  return { code, stderr, result: stdout === '' ? null : JSON.parse(stdout) };
}

const resend = { resend: true, yes: true } as const;

async function rows(): Promise<string[]> {
  const found = await stack.query<{ row: string }>(
    'SELECT device_id || ts AS row FROM public.positions ORDER BY 1',
  );
  return found.map(({ row }) => row);
}

/** Entries of payload and frame form, with bad records among good ones in one packet. */
async function sendFleet(entries: number): Promise<void> {
  const fleet = createFleet({
    seed: 11,
    baseTime: Date.now() - 60_000,
    devices: 20,
    form: 'mixed',
    packetRecords: 5,
    habits: { ...realHabits, badRecord: 0.05, repeatedClock: 0.02 },
    expectedRecords: 5 * entries,
  });
  for (let at = 0; at < entries; at += 1) {
    await stack.redis.xadd(stream, '*', ...fleet.next().fields);
  }
}

async function untilSettled(): Promise<void> {
  await eventually('all is settled', async () => {
    const text = JSON.stringify(await stack.redis.xinfo('GROUPS', stream));
    return /"pending",0,/.test(text) && /"lag",0\]/.test(text) ? true : undefined;
  });
}

async function auditLines(): Promise<string[]> {
  const lines = await stack.redis.xrange(controlKeys(stream).audit, '-', '+');
  return lines.map(([, fields]) => fields.join(' '));
}

describe('processor verify --resend', () => {
  test('puts back every missing record of a real fleet, doubles none and repeats no dead letter', async () => {
    const service = stack.service('one');
    await service.untilReady();
    await sendFleet(400);
    await untilSettled();
    const before = { rows: await rows(), deadLetters: await stack.redis.xlen(deadLetters) };
    expect(before.deadLetters).toBeGreaterThan(20);
    // Half of the rows, so that packets are stored in part.
    await stack.query('DELETE FROM public.positions WHERE extract(epoch FROM ts)::int % 2 = 0');
    const sent = await stack.redis.xlen(stream);
    const plan = await verify({ resend: true, dryRun: true });
    expect(plan.code).toBe(4);
    expect(plan.result).toMatchObject({ dry_run: true, resent: null });
    expect(await stack.redis.xlen(stream)).toBe(sent);
    const { entries, devices } = plan.result.to_resend;
    expect(entries).toBeLessThan(400);

    const { code, stderr, result } = await verify({ ...resend, by: 'anna' });
    expect([code, stderr]).toEqual([0, '']);
    expect(result.to_resend).toEqual({ entries, devices });
    // The fleet sends some records twice: the second entry has nothing missing any more.
    const { stored, skipped } = result.resent;
    expect(result.resent).toEqual({ stored, skipped, dead_lettered: 0, unconfirmed: 0 });
    expect(stored + skipped).toBe(entries);
    expect(await stack.redis.xlen(stream)).toBe(sent + stored);
    expect(await rows()).toEqual(before.rows);
    expect(await stack.redis.xlen(deadLetters)).toBe(before.deadLetters);
    expect((await verify()).result).toMatchObject({ missing: 0, letter_gone: 0 });
    expect(await service.metric('processor_records_total{outcome="inserted"}')).toBeGreaterThan(
      before.rows.length,
    );
    const [line, ...others] = await auditLines();
    expect(line).toMatch(/by anna command verify --resend detail since=\S+Z: stored=\d+ /);
    expect(others).toEqual([]);
  });

  test('sends nothing without consent, of other devices, of unsettled entries, or if nothing is missing', async () => {
    await stack.service('one').untilReady();
    for (let index = 0; index < 4; index += 1) {
      await stack.redis.xadd(stream, '*', ...entryFields(index));
    }
    await untilSettled();
    expect(await verify(resend)).toMatchObject({ code: 0, result: { resent: null } });
    await stack.query(
      `DELETE FROM public.positions WHERE device_id IN ('${imei(1)}', '${imei(2)}')`,
    );

    const refused = await verifyText({ resend: true });
    expect(refused.code).toBe(2);
    expect(refused.stdout).toMatch(/^missing +2$/m);
    expect(refused.stderr).toMatch(/send 2 entries of 2 devices again.*not done; add --yes/);
    expect((await verifyText({ dryRun: true })).code).toBe(2);
    expect(await stack.redis.xlen(stream)).toBe(4);
    expect(await auditLines()).toEqual([]);

    const one = await verifyText({ ...resend, device: imei(1) });
    expect(one.code).toBe(0);
    expect(one.stdout).toMatch(/^resent 1 entry of 1 device: stored=1 /m);
    expect(await stack.redis.xlen(stream)).toBe(5);
    expect((await auditLines()).join()).not.toContain(imei(1));
    expect((await verify()).result.missing).toBe(1);
  });

  test('says that the service did not settle an entry in time, which is stored once it runs', async () => {
    const service = stack.service('one');
    await service.untilReady();
    await stack.redis.xadd(stream, '*', ...entryFields(1));
    await untilSettled();
    await service.end('SIGTERM');
    await stack.query('DELETE FROM public.positions');

    const { code, result, stderr } = await verify({ ...resend, timeout: 1 });
    expect(code).toBe(1);
    expect(result.resent).toMatchObject({ stored: 0, unconfirmed: 1 });
    expect(stderr).toContain('not settled within 1 s');
    await stack.service('one').untilReady();
    await untilSettled();
    expect(await verify(resend)).toMatchObject({ code: 0, result: { missing: 0 } });
    expect(await stack.redis.xlen(stream)).toBe(2);
  });

  test('sends an entry of a shard to that shard, and to no other with --shard', async () => {
    await stack.processor('migrate', 'up', '--yes');
    const settled = (entries: number) => {
      return { entries, delivered: entries, acknowledged: entries, deadLetters: 0 };
    };
    await fillShard(stack.redis, 0, settled(2));
    await fillShard(stack.redis, 1, settled(1));
    const env = { STREAM_SHARDS: '2' };
    const range = { from: startMs, to: startMs + 60_000, timeout: 1 };
    const lengths = () => Promise.all([0, 1].map((shard) => stack.redis.xlen(keyOf(shard))));

    const one = await verify({ ...resend, ...range, shard: 1 }, env);
    expect(one).toMatchObject({ code: 1, result: { to_resend: { entries: 1 } } });
    expect(await lengths()).toEqual([2, 2]);
    await stack.service('one', env).untilReady();
    await eventually('the entry of the first run is stored', async () =>
      (await rows()).length === 1 ? true : undefined,
    );
    const all = await verify({ ...resend, ...range, timeout: 60 }, env);
    expect(all).toMatchObject({
      code: 0,
      result: {
        to_resend: { entries: 2 },
        resent: { stored: 2, unconfirmed: 0, shards: [{ shard: 0, stored: 2 }] },
      },
    });
    expect(await lengths()).toEqual([4, 2]);
    expect(await rows()).toHaveLength(3);
    expect((await auditOf(stack.redis, 0)).join()).toContain('verify --resend');
  });
});
