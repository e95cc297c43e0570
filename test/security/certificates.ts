import { execFile } from 'node:child_process';
import { chmod, chown, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { findProgram } from '../servers/programs.ts';
import { temporaryPrefix, unprivilegedUser } from '../servers/system-user.ts';

const run = promisify(execFile);

/** What a test that needs it is skipped with. */
export const needsOpenssl = 'needs openssl (Debian package openssl)';

export function hasOpenssl(): boolean {
  return findProgram('openssl') !== null;
}

/** Paths of PEM files. */
export interface Certificate {
  readonly cert: string;
  readonly key: string;
}

export interface Authority {
  /** Its own certificate: what a client is to trust. */
  readonly ca: string;
  /** A certificate of this authority, for these names as openssl has them: `DNS:localhost`. */
  issue(name: string, names: string, life?: 'valid' | 'expired'): Promise<Certificate>;
}

export interface Certificates {
  authority(name: string): Promise<Authority>;
  /** A file beside the certificates, with any content. */
  write(name: string, content: string): Promise<string>;
  remove(): Promise<void>;
}

const newKey = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];

/** Certificates of authorities of our own, in a folder that servers of another user can read. */
export async function makeCertificates(): Promise<Certificates> {
  const dir = await mkdtemp(temporaryPrefix('certificates'));
  await chmod(dir, 0o755);
  const openssl = (...args: string[]) => run('openssl', args, { cwd: dir, timeout: 20_000 });

  async function issue(
    authority: string,
    name: string,
    names: string,
    life: 'valid' | 'expired',
  ): Promise<Certificate> {
    const [cert, key] = [join(dir, `${name}.pem`), join(dir, `${name}.key`)];
    const [request, extensions] = [`${name}.csr`, `${name}.ext`];
    await openssl('req', ...newKey, '-keyout', key, '-out', request, '-subj', `/CN=${name}`);
    await writeFile(join(dir, extensions), `subjectAltName=${names}\n`);
    const signer = ['-CA', `${authority}.pem`, '-CAkey', `${authority}.key`, '-CAcreateserial'];
    const days = ['-days', life === 'valid' ? '2' : '-1'];
    const place = ['-in', request, '-extfile', extensions, '-out', cert];
    await openssl('x509', '-req', ...place, ...signer, ...days);
    // PostgreSQL takes a key only from its own user, and only with this mode.
    const user = unprivilegedUser();
    if (user !== null) await chown(key, user.uid, user.gid);
    await chmod(key, 0o600);
    return { cert, key };
  }

  return {
    async authority(name) {
      const subject = ['-subj', `/CN=${name}`, '-days', '2'];
      const place = ['-keyout', `${name}.key`, '-out', `${name}.pem`];
      await openssl('req', '-x509', ...newKey, ...place, ...subject);
      return {
        ca: join(dir, `${name}.pem`),
        issue: (holder, names, life = 'valid') => issue(name, holder, names, life),
      };
    },
    async write(name, content) {
      const path = join(dir, name);
      await writeFile(path, content);
      return path;
    },
    remove: () => rm(dir, { recursive: true, force: true }),
  };
}
