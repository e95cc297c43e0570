// Runs a script of this project on the Node that package-lock.json pins, whatever Node
// started us. On a fresh clone it installs the locked dependencies first, so that
// `npm run demo` and `npm test` need no preparation. Plain JavaScript: an older system
// Node (20 or later) must be able to read this one file.
import { spawn, spawnSync } from 'node:child_process';
import { existsSync, statSync } from 'node:fs';
import { constants } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = resolve(dirname(fileURLToPath(import.meta.url)), '..');

function dependenciesAreCurrent() {
  const installed = join(root, 'node_modules', '.package-lock.json');
  if (!existsSync(installed)) return false;
  return statSync(installed).mtimeMs >= statSync(join(root, 'package-lock.json')).mtimeMs;
}

function installDependencies() {
  process.stderr.write('processor: installing the locked dependencies (npm ci)\n');
  const npm = spawnSync('npm', ['ci', '--include=dev', '--include=optional'], {
    cwd: root,
    stdio: ['ignore', 2, 2],
  });
  if (npm.status !== 0) {
    process.stderr.write('processor: npm ci failed; its output is above\n');
    process.exit(1);
  }
}

function pinnedNode() {
  const pinned = join(
    root,
    'node_modules',
    `node-${process.platform}-${process.arch}`,
    'bin',
    'node',
  );
  if (existsSync(pinned)) {
    if (!starts(pinned)) installSystemLibrary();
    return pinned;
  }
  const major = Number(process.versions.node.split('.')[0]);
  if (major >= 24) return process.execPath;
  process.stderr.write(
    `processor: no pinned Node for ${process.platform}-${process.arch}; install Node 26 (this is ${process.version})\n`,
  );
  process.exit(1);
}

function starts(node) {
  return spawnSync(node, ['--version'], { stdio: 'ignore' }).status === 0;
}

// Node's own builds for Linux need libatomic since version 25; a minimal Debian has it not.
function installSystemLibrary() {
  process.stderr.write('processor: the pinned Node needs libatomic1; installing it with apt-get\n');
  const options = ['-o', 'DPkg::Lock::Timeout=120'];
  const apt = (...words) =>
    spawnSync('apt-get', [...options, ...words], {
      stdio: ['ignore', 2, 2],
      env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' },
    });
  if (apt('install', '-y', '--no-install-recommends', 'libatomic1').status === 0) return;
  apt('update');
  if (apt('install', '-y', '--no-install-recommends', 'libatomic1').status === 0) return;
  process.stderr.write(
    'processor: install libatomic1 as root (apt-get install libatomic1) and try again\n',
  );
  process.exit(1);
}

const [target, ...args] = process.argv.slice(2);
if (target === undefined) {
  process.stderr.write('usage: node scripts/run.mjs <script> [arguments]\n');
  process.exit(2);
}
if (!dependenciesAreCurrent()) installDependencies();

const node = pinnedNode();
const child = spawn(node, ['--enable-source-maps', join(root, target), ...args], {
  stdio: 'inherit',
  env: { ...process.env, PATH: `${dirname(node)}:${process.env.PATH ?? ''}` },
});
// A signal meant for the program must reach it; a terminal's Ctrl-C reaches it by itself.
for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP']) process.on(signal, () => child.kill(signal));
child.on('error', (error) => {
  process.stderr.write(`processor: cannot start ${node}: ${error.message}\n`);
  process.exit(1);
});
child.on('exit', (code, signal) => {
  process.exit(code ?? 128 + (signal === null ? 1 : (constants.signals[signal] ?? 1)));
});
