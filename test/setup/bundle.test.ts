import { execFileSync, spawnSync } from 'node:child_process';
import { expect, test } from 'vitest';
import { programFile } from '../../tools/program.ts';

test('a test run starts its bundle, not the source', () => {
  expect(programFile()).toMatch(/program\/dist\/with-source-maps\.js$/);
  expect(
    execFileSync(process.execPath, [programFile(), '--version'], { encoding: 'utf8' }),
  ).toMatch(/^\d+\.\d+\.\d+\n$/);
});

test('the stack of an error in the bundle names the line of the source', () => {
  const failing = `process.on('exit', () => process.stderr.write(caught));
    const write = process.stdout.write;
    let caught = '';
    process.stdout.write = (...words) => {
      caught ||= new Error('here').stack;
      return write.apply(process.stdout, words);
    };`;
  const hook = `data:text/javascript,${encodeURIComponent(failing)}`;

  const { stderr } = spawnSync(
    process.execPath,
    [`--import=${hook}`, programFile(), 'config', '--json'],
    { encoding: 'utf8', env: {} },
  );

  expect(stderr).toMatch(/\/src\/cli\/[a-z-]+\.ts:\d+/);
});
