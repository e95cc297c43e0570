// The fault suite in its full form; `npm test` runs the same cases in a short one. One file after
// the other, because its numbers are measured. Arguments choose files: `npm run test:faults kills`.
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const named = process.argv.slice(2).map((name) => `test/faults/${name}`);
const files = named.length === 0 ? ['test/faults'] : named;
const options = [
  '--no-file-parallelism',
  '--bail=0',
  '--retry=0',
  '--testTimeout=1800000',
  '--hookTimeout=120000',
  // What the cases measured stands on stdout, one line of JSON each.
  '--disableConsoleIntercept',
];
const vitest = `${root}node_modules/vitest/vitest.mjs`;
process.chdir(root);
// This process becomes vitest, so that signals reach vitest directly.
if (process.execve === undefined) throw new Error('needs a Node and a system with execve');
process.execve(process.execPath, [process.execPath, vitest, 'run', ...files, ...options], {
  ...process.env,
  FAULTS: 'full',
});
