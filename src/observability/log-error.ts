import { scrub } from './scrub.ts';

const maxStackLines = 12;
const maxCauses = 4;
const maxInnerErrors = 3;

export interface ErrorDescription {
  readonly type: string;
  readonly code?: string;
  readonly message: string;
  readonly stack?: string;
  readonly cause?: ErrorDescription;
}

/**
 * Describes an error for the log: type, code, message, stack and causes, scrubbed and bounded. It
 * reads no other property: pg puts whole rows into `detail` and `where`. Never throws, whatever
 * value was thrown.
 */
export function describeError(error: unknown, depth = 0): ErrorDescription {
  try {
    return describe(error, depth);
  } catch {
    return { type: 'unreadable', message: 'an error that cannot be read' };
  }
}

function describe(error: unknown, depth: number): ErrorDescription {
  if (!(error instanceof Error)) return { type: typeof error, message: scrubMessage(error) };
  const description: { -readonly [Key in keyof ErrorDescription]: ErrorDescription[Key] } = {
    type: scrub(String(error.name)).slice(0, 100),
    message: scrubMessage(messageOf(error)),
  };
  if ('code' in error) description.code = scrub(String(error.code)).slice(0, 100);
  if (error.stack !== undefined) {
    const lines = String(error.stack).split('\n', maxStackLines);
    description.stack = scrubMessage(lines.join('\n'));
  }
  if (error.cause !== undefined && depth < maxCauses) {
    description.cause = describeError(error.cause, depth + 1);
  }
  return description;
}

/** Node's refused connections to a name with two addresses have no message, only inner errors. */
function messageOf(error: Error): unknown {
  if (!(error instanceof AggregateError) || error.message !== '') return error.message;
  return error.errors
    .slice(0, maxInnerErrors)
    .map((inner: unknown) => (inner instanceof Error ? inner.message : String(inner)))
    .join('; ');
}

/**
 * PostgreSQL and JSON.parse quote the invalid value (`invalid input syntax for type
 * integer: "…"`). Quoted names of tables, columns and constraints stay.
 */
function scrubMessage(message: unknown): string {
  return scrub(String(message)).replace(/"[^"]*"/g, (quoted) =>
    /^"[A-Za-z_]\w{0,62}"$/.test(quoted) ? quoted : '"…"',
  );
}
