import { generateKeyPair, randomBytes } from 'node:crypto';
import { chmod, chown, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import forge from 'node-forge';
import { temporaryPrefix, unprivilegedUser } from '../../tools/servers/system-user.ts';

/** Paths of PEM files. */
export interface Certificate {
  readonly cert: string;
  readonly key: string;
}

export interface Authority {
  /** Its own certificate: what a client is to trust. */
  readonly ca: string;
  /** A certificate of this authority for these host names and addresses: `DNS:localhost`. */
  issue(name: string, names: string, life?: Life): Promise<Certificate>;
}

export interface Certificates {
  authority(name: string): Promise<Authority>;
  /** A file beside the certificates, with any content. */
  write(name: string, content: string): Promise<string>;
  remove(): Promise<void>;
}

type Life = 'valid' | 'expired';

interface KeyPair {
  readonly publicKey: forge.pki.PublicKey;
  readonly privateKey: forge.pki.rsa.PrivateKey;
  /** The private key as PEM. */
  readonly pem: string;
}

const dayMs = 86_400_000;
const newKeyPair = promisify(generateKeyPair);

/**
 * Makes certificate authorities and certificates, in a folder that servers of another user can
 * read. It runs no openssl: its command line differs between versions (3.5 refuses the negative
 * number of days that 3.0 takes), and a bare machine has none.
 */
export async function makeCertificates(): Promise<Certificates> {
  const dir = await mkdtemp(temporaryPrefix('certificates'));
  await chmod(dir, 0o755);
  const write = async (name: string, content: string) => {
    const path = join(dir, name);
    await writeFile(path, content);
    return path;
  };
  return {
    authority: (name) => makeAuthority(name, write),
    write,
    remove: () => rm(dir, { recursive: true, force: true }),
  };
}

type Write = Certificates['write'];

async function makeAuthority(name: string, write: Write): Promise<Authority> {
  const keys = await makeKeys();
  const own = certificateOf(name, keys, 'valid');
  own.setIssuer(own.subject.attributes);
  own.setExtensions([
    { name: 'basicConstraints', cA: true, critical: true },
    { name: 'keyUsage', keyCertSign: true, cRLSign: true, critical: true },
    { name: 'subjectKeyIdentifier' },
  ]);
  return {
    ca: await write(`${name}.pem`, signed(own, keys)),
    issue: async (holder, names, life = 'valid') => {
      const holderKeys = await makeKeys();
      const certificate = certificateOf(holder, holderKeys, life);
      certificate.setIssuer(own.subject.attributes);
      certificate.setExtensions([
        { name: 'basicConstraints', cA: false, critical: true },
        { name: 'subjectAltName', altNames: [altName(names)] },
        { name: 'subjectKeyIdentifier' },
      ]);
      const cert = await write(`${holder}.pem`, signed(certificate, keys));
      return { cert, key: await writeKey(await write(`${holder}.key`, holderKeys.pem)) };
    },
  };
}

/** PostgreSQL takes a key only from its own user, and only with this mode. */
async function writeKey(path: string): Promise<string> {
  const user = unprivilegedUser();
  if (user !== null) await chown(path, user.uid, user.gid);
  await chmod(path, 0o600);
  return path;
}

async function makeKeys(): Promise<KeyPair> {
  const { privateKey: pem } = await newKeyPair('rsa', {
    modulusLength: 2048,
    publicKeyEncoding: { type: 'spki', format: 'pem' },
    privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
  });
  const privateKey = forge.pki.privateKeyFromPem(pem);
  return { publicKey: forge.pki.setRsaPublicKey(privateKey.n, privateKey.e), privateKey, pem };
}

function certificateOf(name: string, { publicKey }: KeyPair, life: Life): forge.pki.Certificate {
  const certificate = forge.pki.createCertificate();
  certificate.publicKey = publicKey;
  // The leading byte keeps the number positive.
  certificate.serialNumber = `01${randomBytes(15).toString('hex')}`;
  const shiftMs = life === 'valid' ? 0 : -3 * dayMs;
  certificate.validity.notBefore = new Date(Date.now() + shiftMs - dayMs);
  certificate.validity.notAfter = new Date(Date.now() + shiftMs + 2 * dayMs);
  certificate.setSubject([{ name: 'commonName', value: name }]);
  return certificate;
}

function signed(certificate: forge.pki.Certificate, { privateKey }: KeyPair): string {
  certificate.sign(privateKey, forge.md.sha256.create());
  return forge.pki.certificateToPem(certificate);
}

/** The kinds of RFC 5280: 2 is a host name, 7 an address. */
function altName(text: string): object {
  const [kind, value = ''] = text.split(/:(.*)/s);
  if (kind === 'DNS') return { type: 2, value };
  if (kind === 'IP') return { type: 7, ip: value };
  throw new TypeError(`a certificate is for DNS:<name> or IP:<address>, not ${text}`);
}
