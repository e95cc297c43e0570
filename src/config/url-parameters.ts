import { isTlsUrl } from './redis-url.ts';

type Report = (key: 'redisUrl', got: string, expected: string) => void;

/** @returns whether the URL selects TLS; null if the URL is wrong */
export function readRedisUrl(url: string | null, report: Report): boolean | null {
  if (url === null) return null;
  // ioredis would apply each parameter as an option, before those of the service.
  if (url.includes('?')) report('redisUrl', 'a URL with a query', 'a URL without a query');
  return isTlsUrl(url);
}
