import { spawnSync } from 'node:child_process';
import { copyFileSync, mkdtempSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';

const root = fileURLToPath(new URL('../../', import.meta.url));
const program = join(root, 'src/processor.ts');
const { scripts } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
/** The options of `npm start`, before the built program that this test runs from its source. */
const ofStart = String(scripts.start).match(/--env-file\S+/g) ?? [];

/** `processor config` in a folder, as the options of Node and the environment make it. */
function config(
  options: readonly string[],
  cwd: string,
  env: Readonly<Record<string, string>> = {},
) {
  return spawnSync(process.execPath, [...options, program, 'config'], {
    cwd,
    encoding: 'utf8',
    env: { PATH: process.env.PATH, ...env },
  });
}

function folder(): string {
  return mkdtempSync(join(tmpdir(), 'env file-'));
}

/** A folder with the template as `.env`. */
function folderWithEnv(): string {
  const path = folder();
  copyFileSync(join(root, '.env.example'), join(path, '.env'));
  return path;
}

describe.each([
  ['node --env-file=.env', ['--env-file=.env']],
  ['npm start', ofStart],
] as const)('%s', (_name, options) => {
  test('takes .env.example as it is', () => {
    const { status, stdout, stderr } = config(options, folderWithEnv());

    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
    expect(stdout).toMatch(/POSTGRES_URL +postgres:\/\/\S+@timescaledb:5432\/telemetry/);
  });

  test('lets the environment win over the file', () => {
    const own = { POSTGRES_URL: 'postgres://u:p@elsewhere/telemetry' };

    expect(config(options, folderWithEnv(), own).stdout).toContain('@elsewhere/telemetry');
  });
});

test('npm start works without a .env', () => {
  const { status, stdout } = config(ofStart, folder(), { POSTGRES_URL: 'postgres://u:p@db/x' });

  expect(status).toBe(0);
  expect(stdout).toContain('@db/x');
});
