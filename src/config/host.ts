import { hostname } from 'node:os';
import { readBoundedFile } from './bounded-file.ts';
import type { ConfigHost } from './load.ts';

/** This machine, as the configuration needs it. */
export function processHost(): ConfigHost {
  return { hostname: hostname(), readFile: readBoundedFile };
}
