import { spawnSync } from 'node:child_process';
import { chmodSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { rolldown } from 'rolldown';

/**
 * Builds the program into dist, or into the folder that is named. A start loads a few dozen files in
 * place of hundreds, packages included: decision 0075 has what that saves.
 */
const root = fileURLToPath(new URL('..', import.meta.url));
const folder = process.argv[2] ?? `${root}dist`;

const compiler = spawnSync(
  process.execPath,
  [`${root}node_modules/typescript/bin/tsc`, '--project', `${root}tsconfig.build.json`],
  { stdio: 'inherit', cwd: root },
);
if (compiler.status !== 0) process.exit(compiler.status ?? 1);

const bundle = await rolldown({
  cwd: root,
  platform: 'node',
  plugins: [
    {
      name: 'positions of our own code only',
      transform: {
        filter: { id: /node_modules/ },
        handler: (code) => ({ code, map: { mappings: '' } }),
      },
    },
  ],
  input: {
    processor: `${root}src/processor.ts`,
    // Beside the module that starts it.
    'modules/watchdog-worker': `${root}src/lifecycle/watchdog-worker.ts`,
  },
});
await bundle.write({
  dir: folder,
  // A file removed from src must not live on in the image.
  cleanDir: true,
  entryFileNames: '[name].js',
  // One folder deep, as the modules of src are: the migrations are found from both.
  chunkFileNames: 'modules/[name].js',
  sourcemap: true,
  // Node reads the whole map at the start; positions are all that a stack needs.
  sourcemapExcludeSources: true,
});
chmodSync(`${folder}/processor.js`, 0o755);
