import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { GeofenceFile } from '../../src/simulator/geofence-file.ts';
import { createDirectus } from '../../tools/domain-fixture.ts';
import { insertDrives } from '../../tools/drive-fixture.ts';
import { eventually } from '../../tools/service.ts';
import { deadLetters, stream, useStack } from './stack.ts';

const stack = useStack();
let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'processor-check-ledger-'));
});
afterAll(async () => {
  await rm(folder, { recursive: true });
});

/** Short, so that what a killed instance held is claimed soon; nested as the configuration demands. */
const shortTimes = {
  CLAIM_THRESHOLD_MS: '1500',
  CLAIM_INTERVAL_MS: '300',
  DRAIN_BUDGET_MS: '1400',
  INSERT_DEADLINE_MS: '1300',
  STATEMENT_TIMEOUT_MS: '1200',
  LOCK_TIMEOUT_MS: '500',
};

/** A fleet's records in the stream, and the ledger of them. */
async function simulate(seed: number, ...more: string[]): Promise<string> {
  const ledger = join(folder, `${seed}.ndjson`);
  const words = [
    'simulate',
    '--records=3000',
    `--seed=${seed}`,
    `--ledger=${ledger}`,
    '--live',
    '--yes',
    ...more,
  ];
  expect(await stack.processor(...words)).toMatchObject({ code: 0 });
  return ledger;
}

async function settle(): Promise<void> {
  await stack.service('one').untilReady();
  await untilSettled();
}

async function untilSettled(): Promise<void> {
  await eventually('all is settled', async () => {
    const [group] = await stack.redis.xinfo('GROUPS', stream).then((groups) => [groups].flat());
    const text = JSON.stringify(group);
    return /"pending",0,/.test(text) && /"lag",0\]/.test(text) ? true : undefined;
  });
}

async function check(...words: string[]) {
  const { code, stdout, stderr } = await stack.processor('check-ledger', '--json', ...words);
  return { code, stderr, found: stdout === '' ? null : JSON.parse(stdout) };
}

test('check-ledger finds every record of two fleets, and reports each that is missing', async () => {
  const ledgers = [await simulate(1), await simulate(2)];
  await settle();
  const clean = await check(...ledgers);
  expect(clean).toMatchObject({ code: 0, found: { missing: 0, unexpected: 0, doubled: 0 } });
  expect(clean.found.sent).toBeGreaterThanOrEqual(6000);
  expect(clean.found.deadLetter).toBeGreaterThan(0);

  // This fleet did not send the dead letters of the other fleet.
  expect((await check(ledgers[0] ?? '')).found.unexpected).toBeGreaterThan(0);

  const [deadLetter] = await stack.redis.xrange(deadLetters, '-', '+', 'COUNT', 1);
  await stack.redis.xdel(deadLetters, deadLetter?.[0] ?? '');
  await stack.query(
    'DELETE FROM public.positions WHERE ctid = (SELECT ctid FROM public.positions LIMIT 1)',
  );
  const less = await check(...ledgers);
  expect(less.code).toBe(4);
  expect(less.found.missing).toBeGreaterThanOrEqual(2);
  expect(less.found.problems.join('\n')).toContain('no row for');
});

async function withDatabase(work: (client: pg.Client) => Promise<void>): Promise<void> {
  const client = new pg.Client(stack.env().POSTGRES_URL);
  await client.connect();
  try {
    await work(client);
  } finally {
    await client.end();
  }
}

test('check-ledger finds every crossing of a fleet, on two instances of which one is killed, and each that is missing', async () => {
  await withDatabase(createDirectus);
  const env = { DOMAIN: 'on', DOMAIN_POLL_MS: '500', ...shortTimes };
  const [killed, other] = [stack.service('one', env), stack.service('two', env)];
  await Promise.all([killed.untilReady(), other.untilReady()]);
  const path = join(folder, 'geofences.json');
  const ledger = await simulate(3, `--geofences=${path}`, '--devices=20');
  await killed.end('SIGKILL');
  // Drawn when the vehicles have passed already: what is stored is computed again.
  const geofences: GeofenceFile = JSON.parse(await readFile(path, 'utf8'));
  await withDatabase((client) => insertDrives(client, geofences));
  await untilSettled();
  const clean = await eventually('all crossings are found', async () => {
    const found = await check(ledger);
    return found.code === 0 ? found : undefined;
  });
  expect(clean.found.crossings).toMatchObject({ missing: 0, extra: 0 });
  expect(clean.found.crossings.expected).toBeGreaterThan(100);
  expect(clean.found.crossings.found).toBe(clean.found.crossings.expected);

  await other.end('SIGTERM');
  await stack.query('UPDATE public.timing_records SET superseded_at = now()');
  const text = await stack.processor('check-ledger', ledger);
  expect(text.code).toBe(4);
  expect(text.stdout).toMatch(/^crossings expected=\d+ found=0 missing=\d+ extra=0$/m);
  const refused = await stack.processorWith({ DOMAIN_MAX_HOP: '1m' }, 'check-ledger', ledger);
  expect(refused).toMatchObject({
    code: 1,
    stderr: expect.stringContaining('DOMAIN_MAX_HOP=120s'),
  });
});

test('check-ledger names a file that is not a ledger', async () => {
  await stack.query('SELECT 1');
  const path = join(folder, 'text');
  await writeFile(path, 'hello\n');
  for (const [file, words] of [
    [path, `${path}:1: not a line of a ledger`],
    [join(folder, 'nothing'), 'ENOENT'],
  ] as const) {
    const { code, stderr, found } = await check(file);
    expect({ code, found }).toEqual({ code: 1, found: null });
    expect(stderr).toContain(words);
  }
});
