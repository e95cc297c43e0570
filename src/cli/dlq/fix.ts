/** A change of one field before a replay: `device_id`, `ts`, `codec` or `payload.<path>`. */
export interface Fix {
  readonly path: readonly string[];
  readonly value: unknown;
}

const entryFields = ['device_id', 'ts', 'codec'];
/** Fields of the entry that repeat a field of its payload: the values must agree. */
const repeatedFields: Readonly<Record<string, string>> = {
  device_id: 'device_id',
  ts: 'timestamp',
};

/** Parses `field=value`; the value is JSON or else text. Returns null for an unknown field. */
export function parseFix(text: string): Fix | null {
  const at = text.indexOf('=');
  if (at < 0) return null;
  const path = text.slice(0, at).split('.');
  const [first, ...rest] = path;
  const isEntry = path.length === 1 && first !== undefined && entryFields.includes(first);
  const isPayload = first === 'payload' && rest.length > 0 && rest.every((part) => part !== '');
  if (!isEntry && !isPayload) return null;
  const value = text.slice(at + 1);
  return { path, value: isEntry ? value : jsonOrText(value) };
}

function jsonOrText(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    if (error instanceof SyntaxError) return text;
    throw error;
  }
}

/**
 * Applies the fixes to the fields of a payload entry; device and time stay the same in entry and
 * payload. Returns null for an entry without a payload that is a JSON object.
 */
export function applyFixes(
  fields: readonly (readonly [name: string, value: Buffer])[],
  fixes: readonly Fix[],
): [name: string, value: Buffer][] | null {
  const entry = new Map(fields);
  const payload = readObject(entry.get('payload'));
  if (payload === null) return null;
  for (const { path, value } of fixes) {
    const [first = '', ...rest] = path;
    if (first !== 'payload') {
      entry.set(first, Buffer.from(String(value)));
      const inPayload = repeatedFields[first];
      if (inPayload !== undefined) payload[inPayload] = value;
      continue;
    }
    if (!setAt(payload, rest, value)) return null;
    const repeated = Object.entries(repeatedFields).find(
      ([, inside]) => rest.length === 1 && inside === rest[0],
    );
    if (repeated !== undefined) entry.set(repeated[0], Buffer.from(String(value)));
  }
  entry.set('payload', Buffer.from(JSON.stringify(payload)));
  return [...entry];
}

function readObject(bytes: Buffer | undefined): Record<string, unknown> | null {
  if (bytes === undefined) return null;
  const value = jsonOrText(bytes.toString());
  return isObject(value) ? value : null;
}

function setAt(object: Record<string, unknown>, path: readonly string[], value: unknown): boolean {
  const [name = '', ...rest] = path;
  if (rest.length === 0) {
    // A plain property whatever the name, `__proto__` too.
    Object.defineProperty(object, name, {
      value,
      enumerable: true,
      configurable: true,
      writable: true,
    });
    return true;
  }
  const inner = object[name];
  return isObject(inner) && setAt(inner, rest, value);
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
