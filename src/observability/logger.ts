import { pino } from 'pino';
import type { Logger } from '../core/types.ts';
import { describeFields } from './log-fields.ts';

export { describeError } from './log-error.ts';
export { scrub } from './scrub.ts';

export interface LoggerOptions {
  readonly level: 'debug' | 'info' | 'warn' | 'error';
  readonly env: string;
  readonly instance: string;
  /** Receives the lines; default: stdout. */
  readonly destination?: { write(line: string): void };
}

/**
 * JSON lines of a stable schema: ts, level, service, env, instance, msg, then fields.
 * Every field passes through `describeFields`, so that at no level a line contains a secret, an IMEI
 * or a coordinate under its name.
 */
export function createLogger(options: LoggerOptions): Logger {
  const { level, env, instance, destination } = options;
  const settings = {
    level,
    base: { service: 'processor', env, instance },
    timestamp: () => `,"ts":"${new Date().toISOString()}"`,
    formatters: { level: (label: string) => ({ level: label }), log: describeFields },
    // Errors are described by then; pino's own serialiser would add properties.
    serializers: { err: (described: unknown) => described },
  };
  return destination === undefined ? pino(settings) : pino(settings, destination);
}
