import { spawnSync } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { programFile } from '../../tools/program.ts';
import { bundleProgram } from './bundle.ts';

async function bundleOf(text: string): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'processor-bundle-'));
  onTestFinished(() => rm(folder, { recursive: true }));
  await writeFile(join(folder, 'input.ts'), text);
  return await bundleProgram(join(folder, 'bundled'), join(folder, 'input.ts'));
}

test('a test run starts its bundle', () => {
  expect(programFile()).toMatch(/\.mjs$/);
});

test('the stack of an error in a bundle names the line of the source', async () => {
  const program = await bundleOf(
    'interface Erased {\n  readonly value: string;\n}\n\nthrow new Error(String(1 as number));\n',
  );

  const { status, stderr } = spawnSync(process.execPath, [program], { encoding: 'utf8' });

  expect(status).toBe(1);
  expect(stderr).toContain('input.ts:5');
});

test('a module that is missing fails the build, and is named', async () => {
  await expect(bundleOf("import './absent.ts';\n")).rejects.toThrow('./absent.ts');
});
