import { spawnSync } from 'node:child_process';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { stripVTControlCharacters } from 'node:util';
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

test('a run ends with the skipped tests, by reason, and the line of counts', () => {
  const { lines, status } = summaryOf('mixed');

  const file = '  test/setup/fixtures/mixed.case.ts >';
  expect(lines).toEqual([
    'skipped, 1 test: has no second machine',
    `${file} finds out what is missing`,
    'skipped, 3 tests: needs TimescaleDB (set TEST_DATABASE_URL or TEST_POSTGRES_BIN)',
    `${file} a hypertable > has chunks`,
    `${file} a hypertable > has a compression policy`,
    `${file} a policy runs`,
    'tests: 1 passed, 1 failed, 4 skipped',
  ]);
  expect(status).toBe(1);
});

test('tests that need TimescaleDB run where the server offers it', () => {
  const { lines } = summaryOf('mixed', '--timescaledb');

  expect(lines.at(-1)).toBe('tests: 4 passed, 1 failed, 1 skipped');
});

test('a file that cannot be loaded is one failure', () => {
  const { lines, status } = summaryOf('broken-import');

  expect(lines).toEqual([
    'failed, outside its tests:',
    '  test/setup/fixtures/broken-import.case.ts',
    'tests: 0 passed, 1 failed, 0 skipped',
  ]);
  expect(status).toBe(1);
});

test('a suite with a hook that throws is one failure, and its tests are not skipped', () => {
  const { lines, status } = summaryOf('broken-hook');

  expect(lines).toEqual([
    'failed, outside its tests:',
    '  test/setup/fixtures/broken-hook.case.ts > a suite',
    'not run, 2 tests: the suite failed',
    '  test/setup/fixtures/broken-hook.case.ts > a suite > never runs',
    '  test/setup/fixtures/broken-hook.case.ts > a suite > needs something > never runs either',
    'tests: 1 passed, 1 failed, 0 skipped',
  ]);
  expect(status).toBe(1);
});

test('the progress reporter prints each failure and no counts of the run', () => {
  const { lines } = summaryOf('mixed', '--progress');

  const text = stripVTControlCharacters(lines.join('\n'));
  expect(text).toMatch(/× fails/);
  expect(text).toMatch(/^time: 0 min \d+ s$/m);
  expect(text).not.toMatch(/^ *(Tests|Test Files) /m);
});

test('tests that a name pattern leaves out are counted and not listed', () => {
  const { lines, status } = summaryOf('mixed', '--pattern=passes');

  expect(lines).toEqual(['tests: 1 passed, 0 failed, 5 skipped']);
  expect(status).toBe(0);
});
