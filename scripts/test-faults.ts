// The fault suite in its full form; `npm test` runs the same cases in a short one. One file after
// the other, because its numbers are measured. Arguments choose files: `npm run test:faults kills`.
import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const named = process.argv.slice(2).map((name) => `test/faults/${name}`);
const files = named.length === 0 ? ['test/faults'] : named;
const options = [
  ...['--no-file-parallelism', '--bail=0', '--retry=0'],
  ...['--testTimeout=1800000', '--hookTimeout=120000'],
  // What the cases measured stands on stdout, one line of JSON each.
  '--disableConsoleIntercept',
];
const vitest = spawn(
  process.execPath,
  [`${root}node_modules/vitest/vitest.mjs`, 'run', ...files, ...options],
  { stdio: 'inherit', cwd: root, env: { ...process.env, FAULTS: 'full' } },
);
for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) {
  process.on(signal, () => vitest.kill(signal));
}
vitest.on('exit', (code) => {
  process.exitCode = code ?? 1;
});
