import { spawnSync } from 'node:child_process';
import { chmodSync, rmSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

// dist is recreated each time: a file removed from src must not live on in the image.
const root = fileURLToPath(new URL('..', import.meta.url));
rmSync(`${root}dist`, { recursive: true, force: true });
const compiler = spawnSync(
  process.execPath,
  [`${root}node_modules/typescript/bin/tsc`, '--project', `${root}tsconfig.build.json`],
  { stdio: 'inherit', cwd: root },
);
if (compiler.status !== 0) process.exit(compiler.status ?? 1);
chmodSync(`${root}dist/processor.js`, 0o755);
