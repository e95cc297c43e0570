import { hostname } from 'node:os';
import { readBoundedFile } from './bounded-file.ts';
import type { ConfigHost } from './types.ts';

/** Host name and file access of this machine. */
export function processHost(): ConfigHost {
  return { hostname: hostname(), readFile: readBoundedFile };
}
