/**
 * Runs a command of an image's folder as a container engine would, as far as the machine allows:
 * as the image's user, and where namespaces may be made also as process 1, with a root that is
 * read-only and without any capability.
 */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, lstatSync, mkdirSync, readlinkSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { processTree } from '../../../tools/servers/process-tree.ts';
import { isRoot } from '../../../tools/servers/system-user.ts';

export interface ImageRun {
  readonly root: string;
  /** A folder that stands for the volume at /var/lib/processor. */
  readonly volume: string;
  readonly uid: number;
  readonly gid: number;
  readonly command: readonly string[];
  readonly env: Readonly<Record<string, string>>;
}

export interface Ended {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface ImageProcess {
  readonly ended: Promise<Ended>;
  /** The image's own process, by its number on this machine. @throws when it is gone */
  pid(): number;
  /** To the image's own process, as an engine sends it. */
  signal(name: NodeJS.Signals): void;
  /** Ends it, if it still runs. */
  kill(): Promise<void>;
}

/** Folders with the programs and libraries that the base image would bring. */
const systemFolders = [
  'bin',
  'sbin',
  'lib',
  'lib64',
  'usr/bin',
  'usr/sbin',
  'usr/lib',
  'usr/lib64',
];

/** Whether this machine lets us make the namespaces and mounts of a container. */
export function canContain(): boolean {
  if (!isRoot()) return false;
  try {
    execFileSync(
      'unshare',
      ['--mount', '--pid', '--fork', 'mount', '-t', 'tmpfs', 'tmpfs', '/mnt'],
      {
        stdio: 'ignore',
      },
    );
    return existsSync('/usr/bin/setpriv');
  } catch {
    return false;
  }
}

// $1 root, $2 volume, $3 uid, $4 gid, then the command.
const script = `
set -eu
root=$1 volume=$2 uid=$3 gid=$4
shift 4
mount --bind "$root" "$root"
mount -o remount,bind,ro "$root"
for folder in ${systemFolders.join(' ')}; do
  if [ -d "/$folder" ] && [ ! -L "/$folder" ]; then mount -o bind,ro "/$folder" "$root/$folder"; fi
done
mount -t tmpfs -o mode=1777,size=16m tmpfs "$root/tmp"
mount --bind "$volume" "$root/var/lib/processor"
mount -t proc proc "$root/proc"
mount --bind /dev "$root/dev"
exec chroot "$root" setpriv --reuid "$uid" --regid "$gid" --clear-groups --no-new-privs \\
  --bounding-set=-all --inh-caps=-all -- "$@"
`;

/** Makes the places where the mounts go; the base image has them all. */
export function prepareRoot(root: string): void {
  for (const folder of ['tmp', 'proc', 'dev', 'usr/local/bin', 'var/lib/processor']) {
    mkdirSync(join(root, folder), { recursive: true });
  }
  for (const folder of systemFolders) {
    const here = `/${folder}`;
    if (!existsSync(here)) continue;
    if (lstatSync(here).isSymbolicLink()) symlinkSync(readlinkSync(here), join(root, folder));
    else mkdirSync(join(root, folder), { recursive: true });
  }
}

/** Needs `canContain`. What is spawned is `unshare`, which ends with the exit code of process 1. */
export function startContained({ root, volume, uid, gid, command, env }: ImageRun): ImageProcess {
  const words = [root, volume, String(uid), String(gid), ...command];
  const unshare = ['--mount', '--pid', '--fork', '--kill-child', '/bin/sh', '-c', script, 'sh'];
  const child = spawn('unshare', [...unshare, ...words], {
    env: { PATH: '/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin', ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  return follow(child, () => {
    const [, inside] = processTree(child.pid ?? 0);
    if (inside === undefined) throw new Error('the contained process is gone');
    return inside;
  });
}

/** As the image's user where we are root, else as ourselves; paths are those of this machine. */
export function startPlainly(
  run: Pick<ImageRun, 'root' | 'uid' | 'gid' | 'command' | 'env'>,
): ImageProcess {
  const [program = '', ...args] = run.command.map((word) =>
    word.startsWith('/app/') ? join(run.root, word) : word,
  );
  const path = join(run.root, 'usr/local/bin');
  const child = spawn(join(path, program), args, {
    cwd: join(run.root, 'app'),
    env: { PATH: path, ...run.env },
    stdio: ['ignore', 'pipe', 'pipe'],
    ...(isRoot() ? { uid: run.uid, gid: run.gid } : {}),
  });
  return follow(child, () => child.pid ?? 0);
}

function follow(child: ChildProcess, pid: () => number): ImageProcess {
  const output = { stdout: '', stderr: '' };
  // Read from the start: a pipe that nobody empties would hold the program up.
  child.stdout?.setEncoding('utf8').on('data', (text: string) => {
    output.stdout += text;
  });
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    output.stderr += text;
  });
  const ended = once(child, 'close').then(() => ({ code: child.exitCode, ...output }));
  return {
    ended,
    pid,
    signal: (name) => process.kill(pid(), name),
    async kill() {
      if (child.exitCode === null && child.signalCode === null) child.kill('SIGKILL');
      await ended;
    },
  };
}
