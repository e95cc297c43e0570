import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
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

/** A fleet's records in the stream, and the ledger of them. */
async function simulate(seed: number): Promise<string> {
  const ledger = join(folder, `${seed}.ndjson`);
  const words = [
    'simulate',
    '--records=3000',
    `--seed=${seed}`,
    `--ledger=${ledger}`,
    '--live',
    '--yes',
  ];
  expect(await stack.processor(...words)).toMatchObject({ code: 0 });
  return ledger;
}

async function settle(): Promise<void> {
  const service = stack.service('one');
  await service.untilReady();
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
