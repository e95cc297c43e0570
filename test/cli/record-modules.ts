/** Loaded by `node --import`: writes the URLs of all modules that a process loads to a file. */
import { writeFileSync } from 'node:fs';
import { registerHooks } from 'node:module';

const loaded: string[] = [];
registerHooks({
  load(url, context, nextLoad) {
    loaded.push(url);
    return nextLoad(url, context);
  },
});
process.once('exit', () => {
  const file = process.env.LOADED_MODULES_FILE;
  if (file !== undefined) writeFileSync(file, loaded.join('\n'));
});
