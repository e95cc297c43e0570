import { pino } from 'pino';
import type { Logger } from '../core/types.ts';

export interface LoggerOptions {
  readonly level: 'debug' | 'info' | 'warn' | 'error';
  readonly env: string;
  readonly instance: string;
  /** Where lines go; stdout when absent. */
  readonly destination?: { write(line: string): void };
}

const maxTextLength = 2000;
const maxStackLines = 12;
const maxCauses = 4;

/** Fields that may hold a secret or personal data, wherever a caller put them. */
const redacted = ['url', 'password', 'device_id', 'deviceId', 'imei', 'latitude', 'longitude'];

/**
 * JSON lines of a stable schema: ts, level, service, env, instance, msg, then fields.
 * Errors keep type, code, message and stack, scrubbed; pg puts whole rows into an error's
 * `detail` and `where`, so no other property of an error is ever written.
 */
export function createLogger(options: LoggerOptions): Logger {
  const { level, env, instance, destination } = options;
  const settings = {
    level,
    base: { service: 'processor', env, instance },
    timestamp: () => `,"ts":"${new Date().toISOString()}"`,
    formatters: { level: (label: string) => ({ level: label }) },
    redact: { paths: redacted.flatMap((name) => [name, `*.${name}`]), censor: '[redacted]' },
    serializers: { err: describeError },
  };
  return destination === undefined ? pino(settings) : pino(settings, destination);
}

interface ErrorDescription {
  readonly type: string;
  readonly code?: string;
  readonly message: string;
  readonly stack?: string;
  readonly cause?: ErrorDescription;
}

/** What may be said of an error: bounded, without credentials. */
export function describeError(error: unknown, depth = 0): ErrorDescription {
  if (!(error instanceof Error)) return { type: typeof error, message: scrub(String(error)) };
  const description: { -readonly [Key in keyof ErrorDescription]: ErrorDescription[Key] } = {
    type: error.name,
    message: scrub(error.message),
  };
  if ('code' in error) description.code = scrub(String(error.code));
  if (error.stack !== undefined) {
    description.stack = scrub(error.stack.split('\n').slice(0, maxStackLines).join('\n'));
  }
  if (error.cause !== undefined && depth < maxCauses) {
    description.cause = describeError(error.cause, depth + 1);
  }
  return description;
}

/** Takes logins out of URLs and 15-digit numbers (IMEIs) out of text, and bounds it. */
export function scrub(text: string): string {
  return text
    .slice(0, maxTextLength)
    .replace(/\/\/[^/@\s]{1,512}@/g, '//***@')
    .replace(/(?<!\d)\d{15}(?!\d)/g, '[imei]');
}
