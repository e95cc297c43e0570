import { hiddenFault } from './hidden-characters.ts';

const maxUrlLength = 2048;
/** Forms that other products read, and this one does not yet. */
const unsupportedScheme = /^(rediss?[+-](sentinel|cluster|socket)|sentinel|cluster):/i;
/** The part behind the last `@`: a password that was not encoded may hold anything before it. */
const hosts = /^[a-z][a-z0-9+.-]*:\/\/(?:.*@)?([^/?#@]*)/is;
/** Redis reads the number of a database as a signed 32-bit integer. */
const maxDatabase = 2 ** 31 - 1;

/**
 * What is wrong with a URL, without any part of it that may be secret; null where nothing is.
 * @param schemes with their colon, as `URL.protocol` has them
 */
export function urlFault(text: string, schemes: readonly string[]): string | null {
  if (unsupportedScheme.test(text)) {
    return 'a URL for Redis Sentinel or Redis Cluster, which are not supported yet: name one server';
  }
  if (hosts.exec(text)?.[1]?.includes(',')) {
    return 'a URL with more than one host, which is not supported yet: name one server';
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

/** Clients decode these parts; one that cannot be decoded ends the process, or is read in another way. */
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

/** As urlFault; the path must be a database number. @returns null where nothing is wrong */
export function redisUrlFault(text: string, schemes: readonly string[]): string | null {
  const fault = urlFault(text, schemes);
  const path = URL.parse(text)?.pathname;
  if (fault !== null || path === undefined) return fault;
  const isNumber = /^\/?(0|[1-9]\d{0,9})?$/.test(path) && Number(path.slice(1)) <= maxDatabase;
  // The path is not repeated: after an unencoded / it is a part of the password.
  return isNumber ? null : 'a URL with a database that is not a whole number';
}

/** The database that a Redis URL selects; 0 where it names none. */
export function redisDatabaseOf(url: string): number {
  return Number(new URL(url).pathname.slice(1));
}
