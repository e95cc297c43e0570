/** A URL split around its hosts. `new URL` refuses a list of hosts with ports. */
export interface HostList {
  /** The scheme, `//` and the login with its `@`. */
  readonly start: string;
  /** Each as `host` or `host:port`; an empty one where a comma is too many. */
  readonly hosts: readonly [string, ...string[]];
  /** Path, query and fragment. */
  readonly end: string;
}

/** As `new URL` does, the login ends at the last `@` before the path, and may hold commas. */
const pattern = /^([a-z][a-z0-9+.-]*:\/\/(?:[^/?#]*@)?)([^/?#]*)(.*)$/is;

/** Splits a URL at its hosts; null if it is not a URL with `//`. */
export function splitHosts(url: string): HostList | null {
  const found = pattern.exec(url);
  if (found === null) return null;
  const [, start = '', list = '', end = ''] = found;
  const [first = '', ...others] = list.split(',');
  return { start, hosts: [first, ...others], end };
}

/** The URL with all its hosts. */
export function joinHosts({ start, hosts, end }: HostList): string {
  return `${start}${hosts.join(',')}${end}`;
}

/** One URL for each host, which differ in nothing else. */
export function urlsOfHosts({ start, hosts, end }: HostList): readonly string[] {
  return hosts.map((host) => `${start}${host}${end}`);
}
