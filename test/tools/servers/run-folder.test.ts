import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { eventually } from '../../../tools/service.ts';

const owner = join(dirname(fileURLToPath(import.meta.url)), 'fixtures', 'run-folder-owner.ts');

async function startOwner() {
  const child = spawn(process.execPath, [owner], { stdio: ['pipe', 'pipe', 'inherit'] });
  const [line] = await once(child.stdout, 'data');
  const { run, left }: { run: string; left: string } = JSON.parse(String(line));
  return { child, run, left };
}

test('what tests make in the temporary folder is in the folder of the run', () => {
  expect(tmpdir()).toMatch(/\/processor-tests-\w+$/);
});

test('what a run leaves behind goes when the run ends', async () => {
  const { child, run, left } = await startOwner();
  expect(dirname(left)).toBe(run);

  child.stdin.end();
  await once(child, 'exit');

  expect(existsSync(run)).toBe(false);
});

test.each(['SIGINT', 'SIGTERM', 'SIGKILL'] as const)('and when it ends by %s', async (signal) => {
  const { child, run } = await startOwner();

  child.kill(signal);

  await eventually('the folder is gone', () => (existsSync(run) ? undefined : true));
});
