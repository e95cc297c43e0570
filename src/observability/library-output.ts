import { format } from 'node:util';
import type { Logger } from '../core/types.ts';

const levels = {
  log: 'info',
  info: 'info',
  debug: 'debug',
  trace: 'debug',
  warn: 'warn',
  error: 'error',
} as const;

/**
 * Turns what libraries and Node.js print by themselves into log lines: ioredis warns by
 * console.warn, Node.js writes warnings and deprecations to stderr as text. What collects the log
 * reads JSON only, and a line of ours is scrubbed of secrets.
 */
export function captureLibraryOutput(log: Logger): void {
  for (const [method, level] of Object.entries(levels)) {
    const write = (...values: unknown[]) => {
      log[level]({ text: format(...values) }, 'a library printed a text');
    };
    Object.defineProperty(globalThis.console, method, { value: write });
  }
  // Node's own listener, which prints.
  process.removeAllListeners('warning');
  process.on('warning', (warning) => {
    log.warn({ err: warning }, 'Node.js or a library emitted a warning');
  });
}
