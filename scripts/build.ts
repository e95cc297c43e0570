import { spawnSync } from 'node:child_process';
import { chmodSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { bundleProgram } from './bundle.ts';

/**
 * Builds the program into dist, or into the folder that is named. A start loads a few dozen files in
 * place of hundreds, packages included: decision 0075 has what that saves.
 */
const root = fileURLToPath(new URL('..', import.meta.url));
// The benchmark imports this file, and its arguments name its parts.
const folder = (import.meta.main ? process.argv[2] : undefined) ?? `${root}dist`;

const compiler = spawnSync(
  process.execPath,
  [`${root}node_modules/typescript/bin/tsc`, '--project', `${root}tsconfig.build.json`],
  { stdio: 'inherit', cwd: root },
);
if (compiler.status !== 0) process.exit(compiler.status ?? 1);

await bundleProgram(folder);
chmodSync(`${folder}/processor.js`, 0o755);
