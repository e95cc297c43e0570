import { spawnSync } from 'node:child_process';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';

const program = join(dirname(fileURLToPath(import.meta.url)), 'fixtures', 'summary-run.ts');

/** Runs vitest itself over one file of cases; VITEST* of this run would confuse it. */
function summaryOf(...args: readonly string[]) {
  const own = Object.entries(process.env).filter(([name]) => !name.startsWith('VITEST'));
  const run = spawnSync(process.execPath, [program, ...args], {
    env: Object.fromEntries(own),
    encoding: 'utf8',
  });
  return { lines: run.stdout.trim().split('\n'), status: run.status };
}

test('a run ends with each skipped test, its reason, and the line of counts', () => {
  const { lines, status } = summaryOf('mixed');

  const file = 'skipped: test/servers/fixtures/mixed.case.ts >';
  const needs = '  needs TimescaleDB (set TEST_DATABASE_URL or TEST_POSTGRES_BIN)';
  expect(lines).toEqual([
    `${file} finds out what is missing`,
    '  has no second machine',
    `${file} a hypertable > has chunks`,
    needs,
    `${file} a hypertable > has a compression policy`,
    needs,
    `${file} a policy runs`,
    needs,
    'tests: 1 passed, 1 failed, 4 skipped',
  ]);
  expect(status).toBe(1);
});

test('tests that need TimescaleDB run where the server offers it', () => {
  const { lines } = summaryOf('mixed', '--timescaledb');

  expect(lines.at(-1)).toBe('tests: 4 passed, 1 failed, 1 skipped');
});

test('a file that cannot be loaded counts as a failure', () => {
  const { lines, status } = summaryOf('broken-import');

  expect(lines).toEqual(['tests: 0 passed, 1 failed, 0 skipped']);
  expect(status).toBe(1);
});

test('a hook that throws counts as a failure, its tests as not run', () => {
  const { lines, status } = summaryOf('broken-hook');

  expect(lines).toEqual([
    'skipped: test/servers/fixtures/broken-hook.case.ts > a suite > never runs',
    '  not run',
    'tests: 0 passed, 1 failed, 1 skipped',
  ]);
  expect(status).toBe(1);
});
