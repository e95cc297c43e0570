import type { Field } from './fields.ts';
import { hiddenFault } from './hidden-characters.ts';
import type { ConfigHost, Environment, Report } from './types.ts';

/** Reads one variable. @returns null where it is unset without a default, or wrong and reported */
export function readField<Value>(
  field: Field<Value>,
  env: Environment,
  host: ConfigHost,
  report: Report,
): Value | null {
  const text = readText(field, env, host, report);
  if (text === null) return null;
  const parsed = field.schema.safeParse(text);
  if (parsed.success) return parsed.data;
  report(field, field.secret ? describeSecret(field, text) : show(text));
  return null;
}

function describeSecret(field: Pick<Field, 'diagnose'>, text: string): string {
  const fault = field.diagnose(text);
  return `a secret of ${text.length} characters${fault === null ? '' : `: ${fault}`}`;
}

/** A wrong value as a report quotes it; one that may hold a login is withheld. */
export function show(text: string): string {
  return mayHoldLogin(text) ? withheld(text) : JSON.stringify(text.slice(0, 100));
}

/** A valid value for people; one that may hold a login is withheld. */
export function showValue(text: string): string {
  return mayHoldLogin(text) ? withheld(text) : text;
}

/** A path in one bounded line; a text that is not a path may be the secret itself. */
export function showPath(path: string): string {
  if (mayHoldLogin(path) || !/^\.{0,2}\//.test(path)) return withheld(path);
  return path.slice(0, 200).replace(/[^\x20-\x7e]/g, '?');
}

/** An operator may have put a login into the wrong variable. */
function mayHoldLogin(text: string): boolean {
  return /:\/\/|@/.test(text);
}

function withheld(text: string): string {
  return `a text of ${text.length} characters that may hold a login`;
}

const maxSecretFileChars = 4096;

/** An empty variable counts as unset. */
function readText(field: Field, env: Environment, host: ConfigHost, report: Report): string | null {
  const direct = env[field.name] || undefined;
  const path = field.secret ? env[`${field.name}_FILE`] || undefined : undefined;
  if (direct !== undefined && path !== undefined) {
    report(field, `both ${field.name} and ${field.name}_FILE; set one`);
    return null;
  }
  if (path !== undefined) return readSecretFile(field, path, host, report);
  if (direct === undefined && field.required) report(field, 'nothing');
  const fault = field.secret && direct !== undefined ? hiddenFault(direct) : null;
  if (fault === null) return direct ?? field.default;
  report(field, `a secret of ${direct?.length} characters with ${fault}`);
  return null;
}

function readSecretFile(
  field: Field,
  path: string,
  host: ConfigHost,
  report: Report,
): string | null {
  try {
    const text = host.readFile(path).replace(/\r?\n$/, '');
    const fault = fileFault(text);
    if (fault === null) return text;
    report(field, `${field.name}_FILE=${showPath(path)}, which ${fault}`);
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? String(error.code) : 'an error';
    report(field, `${field.name}_FILE=${showPath(path)}, which cannot be read (${code})`);
  }
  return null;
}

function fileFault(text: string): string | null {
  if (text.length === 0 || text.length > maxSecretFileChars) {
    return `is empty or larger than ${maxSecretFileChars} characters`;
  }
  const hidden = hiddenFault(text);
  return hidden === null ? null : `holds ${hidden}`;
}
