import { hiddenFault } from './hidden-characters.ts';
import { joinHosts, splitHosts } from './host-list.ts';

const maxUrlLength = 2048;
/** The host part after the last `@`: a password that is not encoded may hold any character. */
const hosts = /^[a-z][a-z0-9+.-]*:\/\/(?:.*@)?([^/?#@]*)/is;
/** The only query that cannot hold a secret. */
const shownQuery = /^\?target_session_attrs=(read-write|primary)$/;
/** Redis reads the number of a database as a signed 32-bit integer. */
const maxDatabase = 2 ** 31 - 1;

/**
 * Describes what is wrong with a URL, without repeating any part that may be secret; null if valid.
 * @param schemes with their colon, as `URL.protocol` has them
 */
export function urlFault(text: string, schemes: readonly string[]): string | null {
  if (hosts.exec(text)?.[1]?.includes(',')) {
    return 'a URL with more than one host: name one server';
  }
  if (text.length > maxUrlLength) return `longer than ${maxUrlLength} characters`;
  if (/\s/.test(text)) return 'with a space or a line break';
  const url = URL.parse(text);
  if (url === null) {
    return 'not a URL; special characters in a login must be percent-encoded (# as %23, / as %2F)';
  }
  if (!schemes.includes(url.protocol)) return 'a URL with another scheme';
  if (url.hostname === '') return 'a URL without a host';
  if (url.hash !== '') return 'a URL with a fragment; # in a login must be %23';
  return encodingFault(url);
}

/** Clients decode these parts; a part that cannot be decoded would throw or be misread. */
function encodingFault({ username, password, hostname, pathname }: URL): string | null {
  try {
    for (const part of [username, password, hostname, pathname]) {
      const fault = hiddenFault(decodeURIComponent(part));
      if (fault !== null) return `a URL with ${fault}`;
    }
    return null;
  } catch {
    return 'a URL whose percent-encoding is wrong; a % in a login must be %25';
  }
}

/** As `urlFault`; the path must also be a database number. @returns null if valid */
export function redisUrlFault(text: string, schemes: readonly string[]): string | null {
  const fault = urlFault(text, schemes);
  const path = URL.parse(text)?.pathname;
  if (fault !== null || path === undefined) return fault;
  const isNumber = /^\/?(0|[1-9]\d{0,9})?$/.test(path) && Number(path.slice(1)) <= maxDatabase;
  // The path is not repeated: after an unencoded / it is part of the password.
  return isNumber ? null : 'a URL with a database that is not a whole number';
}

/** The database number that a Redis URL selects; 0 by default. */
export function redisDatabaseOf(url: string): number {
  return Number(new URL(url).pathname.slice(1));
}

/** The URL with `password` in place of its own, also with a list of hosts; null keeps it. */
export function withPassword(url: string, password: string | null): string {
  if (password === null) return url;
  const list = splitHosts(url);
  if (list === null || list.hosts.length === 1) return setPassword(url, password);
  const first = joinHosts({ ...list, hosts: [list.hosts[0]] });
  const start = splitHosts(setPassword(first, password))?.start ?? list.start;
  return joinHosts({ ...list, start });
}

function setPassword(url: string, password: string): string {
  const parsed = new URL(url);
  parsed.password = encodeURIComponent(password);
  return parsed.href;
}

/** A URL for people: hosts, ports and path; each part of the login is replaced by ***. */
export function redactUrl(url: string): string {
  const list = splitHosts(url);
  const first = list === null ? url : joinHosts({ ...list, hosts: [list.hosts[0]] });
  const parsed = URL.parse(first);
  if (parsed === null) return '(not a URL)';
  const { protocol, username, password, host, pathname, search } = parsed;
  const hidden = (part: string) => (part === '' ? '' : '***');
  const login = password === '' ? hidden(username) : `${hidden(username)}:***`;
  const others = list?.hosts.slice(1).map((other) => `,${other}`) ?? [];
  const query = shownQuery.test(search) ? search : '';
  return `${protocol}//${login === '' ? '' : `${login}@`}${host}${others.join('')}${pathname}${query}`;
}
