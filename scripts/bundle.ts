import { fileURLToPath } from 'node:url';
import { rolldown } from 'rolldown';

const root = fileURLToPath(new URL('..', import.meta.url));

/** Bundles the program with its packages into `folder`, which it empties first: `processor.js`. */
export async function bundleProgram(folder: string): Promise<void> {
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
  await bundle.close();
}
