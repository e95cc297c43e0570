/** A server's address; the host has no brackets. */
export interface Place {
  readonly host: string;
  readonly port: number;
}

const form = /^(?:\[([0-9a-f:.]+)\]|([a-z0-9._-]+))(?::(.*))?$/i;

/**
 * Reads `host:port`. @param defaultPort null where the port is needed
 * @returns the address, or what is wrong with the text, without repeating it
 */
export function placeOf(text: string, defaultPort: number | null): Place | string {
  if (text === '') return 'an empty host';
  const [, ipv6, name, port] = form.exec(text) ?? [];
  const host = ipv6 ?? name;
  if (host === undefined) {
    return 'a host that is neither a name nor an address; an IPv6 address goes in brackets';
  }
  if (ipv6 !== undefined && !URL.canParse(`redis://[${ipv6}]`)) {
    return 'an IPv6 address that is wrong';
  }
  if (port === undefined && defaultPort !== null) return { host, port: defaultPort };
  const isPort = port !== undefined && /^[1-9]\d{0,4}$/.test(port) && Number(port) <= 65_535;
  return isPort ? { host, port: Number(port) } : 'a port that is not a number from 1 to 65535';
}

/** `host:port`, with brackets around an IPv6 address. */
export function placeText({ host, port }: Place): string {
  return `${host.includes(':') ? `[${host}]` : host}:${port}`;
}
