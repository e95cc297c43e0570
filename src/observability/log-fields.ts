import { describeError } from './log-error.ts';
import { scrub } from './scrub.ts';

/** Maximum characters of all values of one line together. */
const maxLineLength = 16_384;
const maxDepth = 5;
const maxItems = 50;

/** Names whose values are secrets or personal data, compared without case, `_` and `-`. */
const secretName = /(password|passwd|passphrase|secret|token|apikey|authorization)$/;
const personalName = /(deviceid|imei|latitude|longitude)$|^(lat|lon|lng)$/;
const urlName = /(url|dsn)$/;
/** Names of the line's schema; a second key of the same name would hide the first. */
const schemaNames = new Set(['ts', 'level', 'service', 'env', 'instance', 'msg']);

/** The remaining characters of one line; values at every depth share it. */
interface Budget {
  left: number;
}

/**
 * Prepares the fields of a log line: at any depth it redacts values of secret or personal names,
 * scrubs texts, describes errors and replaces bytes by their count, all of it bounded. A field
 * named like one of the schema gets the suffix `_`. Never throws.
 */
export function describeFields(fields: object): Record<string, unknown> {
  const written = describeObject(fields, 0, { left: maxLineLength });
  return Object.fromEntries(
    Object.entries(written).map(([name, value]) => [
      schemaNames.has(name) ? `${name}_` : name,
      value,
    ]),
  );
}

function describeObject(fields: object, depth: number, budget: Budget): Record<string, unknown> {
  const written: Record<string, unknown> = Object.create(null);
  for (const name of Object.keys(fields).slice(0, maxItems)) {
    if (budget.left <= 0) break;
    const key = scrub(name).slice(0, 100);
    budget.left -= key.length + 4;
    written[key] = describeNamed(key, readValue(fields, name), depth, budget);
  }
  return written;
}

/** A getter may throw; a log line must not. */
function readValue(fields: object, name: string): unknown {
  try {
    return Reflect.get(fields, name);
  } catch {
    return '[unreadable]';
  }
}

function describeNamed(name: string, value: unknown, depth: number, budget: Budget): unknown {
  const plain = name.toLowerCase().replace(/[_-]/g, '');
  if (value === null || value === undefined) return value;
  if (secretName.test(plain) || personalName.test(plain)) return '[redacted]';
  if (urlName.test(plain) && !isUrlWithoutLogin(value)) return '[redacted]';
  return describeValue(value, depth, budget);
}

/** Whether a URL is already redacted or has nothing to redact. */
function isUrlWithoutLogin(value: unknown): boolean {
  const url = typeof value === 'string' ? URL.parse(value) : null;
  return url !== null && url.password === '' && url.search === '' && url.hash === '';
}

function describeValue(value: unknown, depth: number, budget: Budget): unknown {
  budget.left -= 4;
  switch (typeof value) {
    case 'string':
      return spend(scrub(value), budget);
    case 'number':
    case 'bigint':
      return describeNumber(value, budget);
    case 'object':
      return value === null ? null : describeInner(value, depth + 1, budget);
    case 'boolean':
      return value;
    default:
      return undefined;
  }
}

/** A number may be an IMEI. */
function describeNumber(value: number | bigint, budget: Budget): unknown {
  budget.left -= 8;
  const text = String(value);
  const shown = scrub(text);
  return shown === text && typeof value === 'number' ? value : shown;
}

function describeInner(value: object, depth: number, budget: Budget): unknown {
  if (value instanceof Error) return spendAll(describeError(value), budget);
  if (ArrayBuffer.isView(value)) return `[${value.byteLength} bytes]`;
  if (value instanceof Date) return Number.isNaN(value.getTime()) ? null : value.toISOString();
  // The size of the brackets and of the note about omitted items.
  budget.left -= 24;
  if (depth > maxDepth) return '[too deep]';
  if (Array.isArray(value)) return describeList(value, depth, budget);
  if (value instanceof Map || value instanceof Set) return `[${value.size} items]`;
  return describeObject(value, depth, budget);
}

function describeList(list: readonly unknown[], depth: number, budget: Budget): unknown[] {
  const written: unknown[] = [];
  for (const item of list.slice(0, maxItems)) {
    if (budget.left <= 0) break;
    written.push(describeValue(item, depth, budget) ?? null);
  }
  if (written.length < list.length) written.push(`[${list.length - written.length} more]`);
  return written;
}

function spend(text: string, budget: Budget): string {
  const shown = text.length <= budget.left ? text : `${text.slice(0, Math.max(0, budget.left))}…`;
  budget.left -= shown.length;
  return shown;
}

/** An error's description is bounded: it is written completely, and later values get less. */
function spendAll<Value>(description: Value, budget: Budget): Value {
  budget.left -= JSON.stringify(description).length;
  return description;
}
