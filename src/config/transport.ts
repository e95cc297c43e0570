import { createPrivateKey, X509Certificate } from 'node:crypto';
import type { ConfigHost, ConfigProblem } from './load.ts';
import { readPostgresUrl, readRedisUrl } from './url-parameters.ts';
import { variables } from './variables.ts';

/** How a server is spoken to over TLS, as node:tls takes it. There is none without verification. */
export interface TlsSettings {
  /** Stated, so that NODE_TLS_REJECT_UNAUTHORIZED cannot take it back. */
  readonly rejectUnauthorized: true;
  readonly minVersion: 'TLSv1.2';
  /** PEM; the authorities that Node.js brings when absent. */
  readonly ca?: string;
  /** PEM; what we show the server where it asks. */
  readonly cert?: string;
  readonly key?: string;
}

/** What of the configuration is about connections; null where it is missing or wrong. */
export interface TransportValues {
  readonly redisUrl: string | null;
  readonly redisCaFile: string | null;
  readonly redisCertFile: string | null;
  readonly redisKeyFile: string | null;
  readonly postgresUrl: string | null;
  readonly migrationPostgresUrl: string | null;
  readonly migrationPostgresPassword: string | null;
  readonly postgresCaFile: string | null;
  readonly postgresCertFile: string | null;
  readonly postgresKeyFile: string | null;
}

export interface Transport {
  /** Null: plain text. */
  readonly redisTls: TlsSettings | null;
  /** Of both database URLs. */
  readonly databaseTls: TlsSettings | null;
  /** Without `sslmode`, which pg would read in its own way. */
  readonly postgresUrl: string | null;
  readonly migrationPostgresUrl: string | null;
  readonly problems: readonly ConfigProblem[];
}

type Environment = Readonly<Record<string, string | undefined>>;
type Key = keyof TransportValues;
type Report = (key: Key, got: string, expected: string) => void;

/**
 * Either a server is spoken to in plain text, or over TLS with its certificate verified up to the
 * name of the host; nothing lies between, and all that would ask for less is refused.
 */
export function readTransport(
  values: TransportValues,
  env: Environment,
  host: ConfigHost,
): Transport {
  const problems: ConfigProblem[] = [];
  const report: Report = (key, got, expected) => {
    const { name, example } = variables[key];
    problems.push({ variable: name, got, expected, example: `${name}=${example}` });
  };
  problems.push(...verificationSwitchedOff(env));
  const redisIsTls = readRedisUrl(values.redisUrl, report);
  const main = readPostgresUrl('postgresUrl', values.postgresUrl, report);
  const migration = readPostgresUrl('migrationPostgresUrl', values.migrationPostgresUrl, report);
  if (main !== null && migration !== null && main.isTls !== migration.isTls) {
    const expected = 'the same sslmode as in POSTGRES_URL';
    report('migrationPostgresUrl', 'another sslmode than in POSTGRES_URL', expected);
  }
  if (values.migrationPostgresPassword !== null && values.migrationPostgresUrl === null) {
    const got = 'a password, without MIGRATION_POSTGRES_URL';
    report('migrationPostgresPassword', got, 'MIGRATION_POSTGRES_URL with the user it is for');
  }
  const read = { values, host, report };
  return {
    redisTls: readTls('redis', redisIsTls, 'rediss:// in REDIS_URL', read),
    databaseTls: readTls(
      'postgres',
      main?.isTls ?? null,
      '?sslmode=verify-full in POSTGRES_URL',
      read,
    ),
    postgresUrl: main?.url ?? null,
    migrationPostgresUrl: migration?.url ?? null,
    problems,
  };
}

/** Node.js has a switch for the whole process. Ours does not heed it; what else runs in it would. */
function verificationSwitchedOff(env: Environment): ConfigProblem[] {
  const variable = 'NODE_TLS_REJECT_UNAUTHORIZED';
  if (env[variable] !== '0') return [];
  const expected = 'nothing: verification cannot be switched off; set REDIS_CA_FILE and the like';
  return [{ variable, got: '0', expected, example: `${variable}=` }];
}

const files = {
  redis: { ca: 'redisCaFile', cert: 'redisCertFile', key: 'redisKeyFile' },
  postgres: { ca: 'postgresCaFile', cert: 'postgresCertFile', key: 'postgresKeyFile' },
} as const;

interface Reading {
  readonly values: TransportValues;
  readonly host: ConfigHost;
  readonly report: Report;
}

/** @param needed what the files are of no use without */
function readTls(
  server: keyof typeof files,
  isTls: boolean | null,
  needed: string,
  { values, host, report }: Reading,
): TlsSettings | null {
  const keys = files[server];
  const read = (key: Key, check: (pem: string) => void, what: string): string | null => {
    const path = values[key];
    if (path === null) return null;
    // A file that is never used would let a plain text connection look like a secured one.
    if (isTls === false) report(key, 'a file, for a connection in plain text', needed);
    return readPem(key, path, check, what, host, report);
  };
  const ca = read(keys.ca, checkCertificates, 'certificates in PEM');
  const cert = read(keys.cert, checkCertificates, 'a certificate in PEM');
  const key = read(keys.key, createPrivateKey, 'a private key in PEM, not encrypted');
  if ((values[keys.cert] === null) !== (values[keys.key] === null)) {
    const both = `both ${variables[keys.cert].name} and ${variables[keys.key].name}`;
    report(values[keys.cert] === null ? keys.cert : keys.key, 'nothing', both);
  } else if (cert !== null && key !== null && !belongTogether(cert, key)) {
    report(keys.key, 'another key', `the private key of ${variables[keys.cert].name}`);
  }
  if (isTls !== true) return null;
  return {
    rejectUnauthorized: true,
    minVersion: 'TLSv1.2',
    ...(ca !== null && { ca }),
    ...(cert !== null && key !== null && { cert, key }),
  };
}

/** A whole system's authorities are 0.2 MB. */
const maxPemChars = 1_048_576;

function readPem(
  key: Key,
  path: string,
  check: (pem: string) => void,
  what: string,
  host: ConfigHost,
  report: Report,
): string | null {
  let text: string;
  try {
    text = host.readFile(path);
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? String(error.code) : 'an error';
    report(key, `${path}, which cannot be read (${code})`, `a file with ${what}`);
    return null;
  }
  if (text.trim() === '' || text.length > maxPemChars) {
    const size = `empty or larger than ${maxPemChars} characters`;
    report(key, `${path}, which is ${size}`, `a file with ${what}`);
    return null;
  }
  try {
    check(text);
    return text;
  } catch {
    // Nothing of the content is told, nor of what OpenSSL says of it: it may be a key.
    report(key, `${path}, which holds something else`, `a file with ${what}`);
    return null;
  }
}

/** node:tls passes over what it cannot read, and would then trust nobody. @throws */
function checkCertificates(pem: string): void {
  const [, ...blocks] = pem.split('-----BEGIN CERTIFICATE-----');
  if (blocks.length === 0) throw new RangeError('no certificate');
  for (const block of blocks) new X509Certificate(`-----BEGIN CERTIFICATE-----${block}`);
}

function belongTogether(cert: string, key: string): boolean {
  return new X509Certificate(cert).checkPrivateKey(createPrivateKey(key));
}

/** Which PEM there is; never what is in it, be it a key or not. */
export function describeTls(tls: TlsSettings | null): TlsSettings | null {
  if (tls === null) return null;
  const shown = (pem: string | undefined) => `(PEM of ${pem?.length ?? 0} characters)`;
  return {
    ...tls,
    ...(tls.ca !== undefined && { ca: shown(tls.ca) }),
    ...(tls.cert !== undefined && { cert: shown(tls.cert) }),
    ...(tls.key !== undefined && { key: '***' }),
  };
}
