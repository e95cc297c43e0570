/**
 * One temporary folder for a whole test run. Tests clean up after themselves where they can; a test
 * that fails half way, a Ctrl-C or a kill -9 leave what they made behind, and it goes with this
 * folder, which a process of its own removes however the run ends.
 */
import { chmod } from 'node:fs/promises';
import { openGuard } from './guarded.ts';
import { temporaryPrefix } from './system-user.ts';

export interface RunFolder {
  readonly path: string;
  /** Removes the folder and everything in it. Safe twice. */
  close(): Promise<void>;
}

/** Makes the folder and points TMPDIR at it, for this process and those that it starts. */
export async function openRunFolder(): Promise<RunFolder> {
  const guard = await openGuard(temporaryPrefix('tests'), null);
  // Servers run as another user where we are root.
  await chmod(guard.folder, 0o755);
  const { TMPDIR: before } = process.env;
  process.env.TMPDIR = guard.folder;
  return {
    path: guard.folder,
    async close() {
      if (before === undefined) delete process.env.TMPDIR;
      else process.env.TMPDIR = before;
      await guard.close();
    },
  };
}
