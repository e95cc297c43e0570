import { hiddenFault } from './hidden-characters.ts';
import { type Place, placeOf } from './places.ts';
import { redisUrlFault as singleUrlFault, withPassword } from './urls.ts';

export interface Login {
  readonly username: string | null;
  readonly password: string | null;
}

/** How the Redis that holds the stream is found. */
export type Topology =
  | { readonly kind: 'single'; readonly url: string }
  | {
      readonly kind: 'sentinel';
      readonly sentinels: readonly Place[];
      /** Name under which the sentinels know the primary. */
      readonly name: string;
      readonly database: number;
      readonly login: Login;
      readonly sentinelLogin: Login;
    }
  | { readonly kind: 'cluster'; readonly nodes: readonly Place[]; readonly login: Login };

export type TopologyKind = Topology['kind'];

export const redisSchemes = ['redis:', 'rediss:'] as const;

export const redisUrlShape =
  'a URL redis://user:password@host:port/<database number>, redis+sentinel://user:password@host:port,host:port/<primary name>/<database number> or redis+cluster://user:password@host:port,host:port, with rediss in place of redis for TLS, and special characters in the login percent-encoded';

const maxUrlLength = 2048;
/** Forms that other products accept. */
const otherForms = /^(rediss?[+-][a-z]+|sentinel|cluster):/i;
const manyHosts = /^(rediss?)\+(sentinel|cluster):/i;
/** A login ends at the last @ before the path, because a password may hold one. */
const parts =
  /^(rediss?)\+(sentinel|cluster):\/\/(?:([^/?#]*)@)?([^/?#@]*)(\/[^?#]*)?(\?[^#]*)?(#.*)?$/is;
/** The host part after the last `@` of a URL that should name one server. */
const hostsOfOne = /^rediss?:\/\/(?:.*@)?([^/?#@]*)/is;
const defaultPorts = { sentinel: 26_379, cluster: 6379 } as const;

interface Parts {
  readonly isTls: boolean;
  readonly kind: 'sentinel' | 'cluster';
  readonly login: string;
  readonly hosts: readonly string[];
  readonly path: string;
  readonly hasQuery: boolean;
  readonly hasFragment: boolean;
}

function partsOf(text: string): Parts | null {
  const found = parts.exec(text);
  if (found === null) return null;
  const [, scheme = '', kind = '', login = '', hosts = '', path = '', query, fragment] = found;
  return {
    isTls: scheme.toLowerCase() === 'rediss',
    kind: kind.toLowerCase() === 'sentinel' ? 'sentinel' : 'cluster',
    login,
    hosts: hosts.split(','),
    path,
    hasQuery: query !== undefined,
    hasFragment: fragment !== undefined,
  };
}

/** Kind of server that the URL names, valid or not. */
export function topologyKindOf(url: string): TopologyKind {
  const kind = manyHosts.exec(url)?.[2]?.toLowerCase();
  return kind === 'sentinel' || kind === 'cluster' ? kind : 'single';
}

/** Whether the URL selects TLS. */
export function isTlsUrl(url: string): boolean {
  return /^rediss[:+]/i.test(url);
}

/**
 * Describes everything that is wrong with a URL of Redis, without repeating any part that may be
 * secret: after an unencoded / or # even a host may be part of the password. @returns null if valid
 */
export function redisUrlFault(text: string): string | null {
  if (manyHosts.test(text)) return manyHostsFault(text);
  if (otherForms.test(text) && !/^rediss?:/i.test(text)) {
    return 'a URL with another scheme; Redis Sentinel is redis+sentinel://, Redis Cluster is redis+cluster://';
  }
  if (hostsOfOne.exec(text)?.[1]?.includes(',')) {
    return 'a URL with more than one host; Redis Sentinel is redis+sentinel://, Redis Cluster is redis+cluster://';
  }
  return singleUrlFault(text, redisSchemes);
}

function manyHostsFault(text: string): string | null {
  if (text.length > maxUrlLength) return `longer than ${maxUrlLength} characters`;
  if (/\s/.test(text)) return 'with a space or a line break';
  const found = partsOf(text);
  if (found === null) {
    return 'not a URL; special characters in a login must be percent-encoded (# as %23, / as %2F)';
  }
  const faults = [
    ...encodingFaults(found),
    ...hostFaults(found),
    ...(found.kind === 'sentinel' ? sentinelPathFaults(found.path) : clusterPathFaults(found.path)),
    ...(found.hasQuery ? ['a query, which has no meaning here; ? in a login must be %3F'] : []),
    ...(found.hasFragment ? ['a fragment; # in a login must be %23'] : []),
  ];
  return faults.length === 0 ? null : `a URL with ${faults.join(', and with ')}`;
}

function encodingFaults({ login, path }: Parts): readonly string[] {
  try {
    const fault = hiddenFault(decodeURIComponent(login)) ?? hiddenFault(decodeURIComponent(path));
    return fault === null ? [] : [fault];
  } catch {
    return ['a wrong percent-encoding; a % in a login must be %25'];
  }
}

function hostFaults({ hosts, kind }: Parts): readonly string[] {
  if (hosts.join('') === '') return ['no host'];
  const faults: string[] = [];
  const seen = new Map<string, number>();
  for (const [index, text] of hosts.entries()) {
    const number = index + 1;
    const place = placeOf(text, defaultPorts[kind]);
    if (typeof place === 'string') {
      faults.push(`${place} (host ${number} of ${hosts.length})`);
      continue;
    }
    const key = `${place.host.toLowerCase()} ${place.port}`;
    const first = seen.get(key);
    if (first === undefined) seen.set(key, number);
    else faults.push(`the same host twice (hosts ${first} and ${number})`);
  }
  return faults;
}

const primaryName = /^[A-Za-z0-9._-]{1,100}$/;
const maxDatabase = 2 ** 31 - 1;

function sentinelPathFaults(path: string): readonly string[] {
  const [, name = '', database, ...others] = path.split('/');
  const faults: string[] = [];
  if (name === '') faults.push('no name of the primary after the hosts');
  else if (!primaryName.test(name)) faults.push('a name of the primary that Sentinel refuses');
  const isDatabase =
    database === undefined ||
    (/^(0|[1-9]\d{0,9})?$/.test(database) && Number(database) <= maxDatabase);
  if (!isDatabase || others.length > 0) faults.push('a database that is not a whole number');
  return faults;
}

function clusterPathFaults(path: string): readonly string[] {
  if (/^\/?0?$/.test(path)) return [];
  return /^\/\d+$/.test(path)
    ? ['a database, where a Redis Cluster has only database 0']
    : ['a path, which a Redis Cluster has not'];
}

/** The URL with `password` in place of its own; null keeps the URL as it is. */
export function withRedisPassword(url: string, password: string | null): string {
  const found = partsOf(url);
  if (found === null || password === null) return withPassword(url, password);
  const [user = ''] = found.login.split(':');
  const scheme = url.slice(0, url.indexOf('://'));
  const login = `${user}:${encodeURIComponent(password)}`;
  return `${scheme}://${login}@${found.hosts.join(',')}${found.path}`;
}

/** Reads a valid URL. @param sentinelLogin the login of the sentinels themselves */
export function readTopology(url: string, sentinelLogin: Login): Topology {
  const found = partsOf(url);
  if (found === null) return { kind: 'single', url };
  const { kind, hosts, path } = found;
  const places = hosts.map((text) => validPlace(text, defaultPorts[kind]));
  const login = loginOf(found.login);
  if (kind === 'cluster') return { kind, nodes: places, login };
  const [, name = '', database = ''] = path.split('/');
  return { kind, sentinels: places, name, database: Number(database), login, sentinelLogin };
}

function validPlace(text: string, defaultPort: number): Place {
  const place = placeOf(text, defaultPort);
  if (typeof place === 'string') throw new TypeError(`the URL was not checked: ${place}`);
  return place;
}

function loginOf(text: string): Login {
  const [username = '', ...password] = text.split(':').map(decodeURIComponent);
  return { username: username || null, password: password.join(':') || null };
}

/** User name for the servers that hold the stream; empty for the default user. */
export function usernameOf(topology: Topology): string {
  if (topology.kind === 'single') return decodeURIComponent(new URL(topology.url).username);
  return topology.login.username ?? '';
}
