import { joinHosts, splitHosts, urlsOfHosts } from './host-list.ts';
import { urlFault } from './urls.ts';

export type PostgresUrlKey = 'postgresUrl' | 'migrationPostgresUrl' | 'domainPostgresUrl';
type Report = (key: PostgresUrlKey, got: string, expected: string) => void;

/** An attempt to connect may take its timeout for each host, so the list is short. */
const maxHosts = 8;

/** As `urlFault`, also for a list of hosts. @returns null if valid */
export function postgresUrlFault(text: string, schemes: readonly string[]): string | null {
  const list = splitHosts(text);
  if (list === null || list.hosts.length === 1) return urlFault(text, schemes);
  const { hosts } = list;
  if (hosts.length > maxHosts) return `a URL with more than ${maxHosts} hosts`;
  if (hosts.includes('')) return 'a URL with an empty host in its list; one comma between hosts';
  const faults = urlsOfHosts(list).map((url) => urlFault(url, schemes));
  return faults.find((fault) => fault !== null) ?? repeatedHost(hosts);
}

function repeatedHost(hosts: readonly string[]): string | null {
  const places = hosts.map((host) => (/:\d+$/.test(host) ? host : `${host}:5432`));
  const isRepeated = new Set(places).size < places.length;
  return isRepeated ? 'a URL with the same host and port twice' : null;
}

/**
 * pg 8 treats `require` and `prefer` as `verify-full`; pg 9 and libpq treat them as encryption to
 * any server that answers. So neither is accepted.
 */
const knownModes = ['disable', 'allow', 'prefer', 'require', 'verify-ca', 'no-verify'];
/** The service writes: a server that takes no writes is of no use to it. */
const targets = ['read-write', 'primary'];
const otherTargets = ['any', 'read-only', 'standby', 'prefer-standby'];
const accepted = ['sslmode', 'target_session_attrs'];

/**
 * Reads the parameters of a PostgreSQL URL. The URL in the result has no `sslmode`, and keeps
 * `target_session_attrs`. @returns null if the URL is wrong
 */
export function readPostgresUrl(
  key: PostgresUrlKey,
  url: string | null,
  report: Report,
): { readonly isTls: boolean; readonly url: string } | null {
  const list = url === null ? null : splitHosts(url);
  const parsed = list === null ? null : URL.parse(joinHosts({ ...list, hosts: [list.hosts[0]] }));
  if (url === null || list === null || parsed === null) return null;
  const query = parsed.searchParams;
  if (reportOthers(key, [...query.keys()], report)) return null;
  if (reportTarget(key, query.getAll('target_session_attrs'), report)) return null;
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
  const isTls = mode === 'verify-full';
  if (list.hosts.length === 1) return { isTls, url: parsed.href };
  return { isTls, url: joinHosts({ ...list, end: `${parsed.pathname}${parsed.search}` }) };
}

function reportTarget(key: PostgresUrlKey, found: readonly string[], report: Report): boolean {
  const [target = ''] = found;
  if (found.length === 0 || (found.length === 1 && targets.includes(target))) return false;
  const known = otherTargets.includes(target);
  const one = known ? `target_session_attrs=${target}` : 'a target_session_attrs that is none';
  const got = found.length > 1 ? 'more than one target_session_attrs' : one;
  report(key, got, 'target_session_attrs=read-write, or primary, because the service writes');
  return true;
}

/**
 * Refuses other parameters: pg applies some of libpq's before those of the service (`host`,
 * `options`) and ignores the rest (`channel_binding`, `load_balance_hosts`).
 */
function reportOthers(key: PostgresUrlKey, names: readonly string[], report: Report): boolean {
  const others = names.filter((name) => !accepted.includes(name));
  if (others.length === 0) return false;
  if (others.some((name) => /^(ssl|uselibpqcompat)/i.test(name))) {
    const expected = 'no parameter about TLS but sslmode; the files have variables of their own';
    report(key, 'a URL with a parameter about TLS', `${expected}, such as POSTGRES_CA_FILE`);
    return true;
  }
  // After an unencoded ? follows a part of the password, which does not look like a name.
  const isNames = others.every((name) => /^[a-z_]{1,40}$/i.test(name));
  const got = isNames ? `a URL with the parameter ${others.join(', ')}` : 'a URL with parameters';
  const expected = `no parameter but ${accepted.join(' and ')}`;
  report(key, got, `${expected}; timeouts and files have variables of their own`);
  return true;
}
