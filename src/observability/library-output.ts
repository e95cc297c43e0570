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
 * Turns the output of libraries and Node.js into log lines: ioredis calls console.warn, and Node.js
 * writes warnings to stderr as text. A log collector reads JSON only, and log lines are scrubbed
 * of secrets.
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
