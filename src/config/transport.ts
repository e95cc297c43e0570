import { createPrivateKey, X509Certificate } from 'node:crypto';
import { readPostgresUrl } from './postgres-url.ts';
import type { ConfigHost, ConfigProblem, Environment, TlsSettings, Values } from './types.ts';
import { readRedisUrl } from './url-parameters.ts';
import { variables } from './variables.ts';

/** The values about connections; null where one is unset, or wrong and reported. */
export type TransportValues = Pick<
  Values,
  | 'redisUrl'
  | 'redisCaFile'
  | 'redisCertFile'
  | 'redisKeyFile'
  | 'postgresUrl'
  | 'migrationPostgresUrl'
  | 'migrationPostgresPassword'
  | 'domain'
  | 'domainPostgresUrl'
  | 'domainPostgresPassword'
  | 'postgresCaFile'
  | 'postgresCertFile'
  | 'postgresKeyFile'
>;

export interface Transport {
  /** Null: plain text. */
  readonly redisTls: TlsSettings | null;
  /** Applies to all database URLs; null: plain text. */
  readonly databaseTls: TlsSettings | null;
  /** Without `sslmode`, which pg would interpret differently. */
  readonly postgresUrl: string | null;
  readonly migrationPostgresUrl: string | null;
  readonly domainPostgresUrl: string | null;
  readonly problems: readonly ConfigProblem[];
}

type Key = keyof TransportValues;
type Report = (key: Key, got: string, expected: string) => void;

/**
 * Reads how each server is connected: in plain text, or over TLS with the certificate and host name
 * verified. Every setting that asks for weaker verification is refused.
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
  const mainIsTls = main?.isTls ?? null;
  const migration = readRoleUrl('migrationPostgres', mainIsTls, values, report);
  // The compose files set this URL also where nothing uses it.
  const isUsed = values.domain === 'on';
  const domain = readRoleUrl('domainPostgres', isUsed ? mainIsTls : null, values, report);
  const read = { values, host, report };
  return {
    redisTls: readTls('redis', redisIsTls, 'rediss:// in REDIS_URL', read),
    databaseTls: readTls('postgres', mainIsTls, '?sslmode=verify-full in POSTGRES_URL', read),
    postgresUrl: main?.url ?? null,
    migrationPostgresUrl: migration,
    domainPostgresUrl: domain,
    problems,
  };
}

/**
 * Reads the database URL of a role beside the service's. @returns the URL; null if unset or wrong
 */
function readRoleUrl(
  role: 'migrationPostgres' | 'domainPostgres',
  mainIsTls: boolean | null,
  values: TransportValues,
  report: Report,
): string | null {
  const urlKey = `${role}Url` as const;
  const passwordKey = `${role}Password` as const;
  const found = readPostgresUrl(urlKey, values[urlKey], report);
  if (found !== null && mainIsTls !== null && found.isTls !== mainIsTls) {
    const expected = 'the same sslmode as in POSTGRES_URL';
    report(urlKey, 'another sslmode than in POSTGRES_URL', expected);
  }
  if (values[passwordKey] !== null && values[urlKey] === null) {
    const { name } = variables[urlKey];
    report(passwordKey, `a password, without ${name}`, `${name} with the user it is for`);
  }
  return found?.url ?? null;
}

/** Refuses Node.js's process-wide switch: the service ignores it, but its libraries would obey. */
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

/** Reads one server's TLS files. @param needed the setting that switches TLS on */
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
    // An unused file would make a plain text connection look secure.
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

/** A system's complete CA bundle has 0.2 MB. */
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
    // Neither the content nor OpenSSL's message is reported: the file may hold a key.
    report(key, `${path}, which holds something else`, `a file with ${what}`);
    return null;
  }
}

/** Needed because node:tls ignores a block it cannot parse. @throws on the first invalid block */
function checkCertificates(pem: string): void {
  const [, ...blocks] = pem.split('-----BEGIN CERTIFICATE-----');
  if (blocks.length === 0) throw new RangeError('no certificate');
  for (const block of blocks) new X509Certificate(`-----BEGIN CERTIFICATE-----${block}`);
}

function belongTogether(cert: string, key: string): boolean {
  return new X509Certificate(cert).checkPrivateKey(createPrivateKey(key));
}

/** TLS settings for people: the length of each PEM, never its content. */
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
