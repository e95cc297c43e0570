import { accessSync, constants } from 'node:fs';
import { delimiter, join } from 'node:path';

/** The program in one of the folders of PATH; null when it is in none. */
export function findProgram(name: string): string | null {
  const { PATH = '' } = process.env;
  for (const folder of PATH.split(delimiter).filter((entry) => entry !== '')) {
    const path = join(folder, name);
    try {
      accessSync(path, constants.X_OK);
      return path;
    } catch {
      // Not here; the next folder.
    }
  }
  return null;
}
