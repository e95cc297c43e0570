import { isTlsUrl } from './redis-url.ts';

export type PostgresUrlKey = 'postgresUrl' | 'migrationPostgresUrl' | 'domainPostgresUrl';
type UrlKey = 'redisUrl' | PostgresUrlKey;
type Report = (key: UrlKey, got: string, expected: string) => void;

/** @returns whether the URL selects TLS; null if the URL is wrong */
export function readRedisUrl(url: string | null, report: Report): boolean | null {
  if (url === null) return null;
  // ioredis would apply each parameter as an option, before those of the service.
  if (url.includes('?')) report('redisUrl', 'a URL with a query', 'a URL without a query');
  return isTlsUrl(url);
}

/**
 * pg 8 treats `require` and `prefer` as `verify-full`; pg 9 and libpq treat them as encryption to
 * any server that answers. So neither is accepted.
 */
const knownModes = ['disable', 'allow', 'prefer', 'require', 'verify-ca', 'no-verify'];

/** Removes `sslmode`, the only accepted parameter; null if the URL is wrong. */
export function readPostgresUrl(
  key: PostgresUrlKey,
  url: string | null,
  report: Report,
): { readonly isTls: boolean; readonly url: string } | null {
  const parsed = url === null ? null : URL.parse(url);
  if (url === null || parsed === null) return null;
  const query = parsed.searchParams;
  if (reportOthers(key, [...query.keys()], report)) return null;
  const modes = query.getAll('sslmode');
  if (modes.length === 0) return { isTls: false, url };
  const [mode = ''] = modes;
  if (modes.length > 1 || (mode !== 'verify-full' && mode !== 'disable')) {
    const found = knownModes.includes(mode) ? `sslmode=${mode}` : 'an sslmode that is none';
    const got = modes.length > 1 ? 'more than one sslmode' : found;
    report(key, got, 'sslmode=verify-full, or none for plain text');
    return null;
  }
  query.delete('sslmode');
  return { isTls: mode === 'verify-full', url: parsed.href };
}

/**
 * Refuses other parameters: pg applies some of libpq's before those of the service (`host`,
 * `options`) and ignores the rest (`channel_binding`, `target_session_attrs`).
 */
function reportOthers(key: UrlKey, names: readonly string[], report: Report): boolean {
  const others = names.filter((name) => name !== 'sslmode');
  if (others.length === 0) return false;
  if (others.some((name) => /^(ssl|uselibpqcompat)/i.test(name))) {
    const expected = 'no parameter about TLS but sslmode; the files have variables of their own';
    report(key, 'a URL with a parameter about TLS', `${expected}, such as POSTGRES_CA_FILE`);
    return true;
  }
  // After an unencoded ? follows a part of the password, which does not look like a name.
  const isNames = others.every((name) => /^[a-z_]{1,40}$/i.test(name));
  const got = isNames ? `a URL with the parameter ${others.join(', ')}` : 'a URL with parameters';
  report(key, got, 'no parameter but sslmode; timeouts and files have variables of their own');
  return true;
}
