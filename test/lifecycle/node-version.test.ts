import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';

const root = fileURLToPath(new URL('../../', import.meta.url));

/** `processor --version` on this Node, which says that it is another one. */
function runOn(version: string) {
  const preload = join(mkdtempSync(join(tmpdir(), 'node-version-')), 'version.cjs');
  const versions = `{ value: { ...process.versions, node: '${version}' } }`;
  writeFileSync(preload, `Object.defineProperty(process, 'versions', ${versions});`);
  return spawnSync(process.execPath, ['-r', preload, join(root, 'src/processor.ts'), '--version'], {
    encoding: 'utf8',
  });
}

test('the program refuses a Node older than package.json asks for, in one line', () => {
  const { engines } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
  const least = Number(/^>=(\d+)$/.exec(engines.node)?.[1]);

  const { status, stdout, stderr } = runOn(`${least - 1}.0.0`);

  expect({ status, stdout }).toEqual({ status: 1, stdout: '' });
  expect(stderr).toMatch(new RegExp(`^processor: needs Node ${least} or later, .*\\n$`));
  expect(runOn(`${least}.0.0`).status).toBe(0);
});
