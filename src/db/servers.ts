/** Which server of a pair is wanted, as libpq's target_session_attrs. */
export type Target = 'read-write' | 'primary';

/** The servers that a URL names. */
export interface Servers {
  /** One URL for each, in the order of the list, without parameters. */
  readonly urls: readonly [string, ...string[]];
  /** Null: the URL names one server and does not say which kind. */
  readonly target: Target | null;
}

/** The login may hold commas; it ends at the last `@` before the path, as for `new URL`. */
const pattern = /^([^/]+:\/\/(?:[^/?#]*@)?)([^/?#]*)([^?#]*)(.*)$/s;

/**
 * Splits a URL that the configuration has accepted: `postgres://login@h1:5432,h2:5432/database`. pg
 * knows no list of hosts and ignores target_session_attrs.
 */
export function serversOf(url: string): Servers {
  const [, start = '', list = '', path = '', query = ''] = pattern.exec(url) ?? [];
  const target = new URLSearchParams(query).get('target_session_attrs');
  const hosts = list.split(',');
  if (target === null && hosts.length === 1) return { urls: [url], target };
  const [first = '', ...others] = hosts.map((host) => `${start}${host}${path}`);
  return { urls: [first, ...others], target: target === 'primary' ? target : 'read-write' };
}

/** `host:port` for people, without the login; the folder of a Unix socket in place of a host. */
export function placeOf(url: string): string {
  const { hostname, port } = new URL(url);
  return `${decodeURIComponent(hostname)}:${port || '5432'}`;
}
