import { z } from 'zod';
import { type Place, placeOf } from './places.ts';
import { urlFault } from './urls.ts';

/** The definition of one variable. */
export interface Field<Value = unknown> {
  readonly name: string;
  readonly schema: z.ZodType<Value>;
  /** As the environment would hold it; null: no default. */
  readonly default: string | null;
  readonly required: boolean;
  /** A secret also has a `*_FILE` form, and its value is never shown. */
  readonly secret: boolean;
  /** Describes what is wrong with a refused value, without showing it; null if unknown. */
  readonly diagnose: (text: string) => string | null;
  readonly shape: string;
  readonly example: string;
  readonly meaning: string;
}

interface Common {
  readonly default: string | null;
  readonly meaning: string;
  readonly example?: string;
}

function field<Value>(
  name: string,
  schema: z.ZodType<Value>,
  shape: string,
  common: Common & {
    readonly secret?: boolean;
    readonly required?: boolean;
    readonly diagnose?: (text: string) => string | null;
  },
): Field<Value> {
  const { default: fallback, meaning, example, secret = false, required = false } = common;
  return {
    name,
    schema,
    default: fallback,
    required,
    secret,
    diagnose: common.diagnose ?? (() => null),
    shape,
    meaning,
    example: example ?? fallback ?? '',
  };
}

/** A whole number; strict digits, because Number('') and Number('0x10') are numbers too. */
export function integer(
  name: string,
  bounds: { readonly min: number; readonly max: number },
  common: Common,
): Field<number> {
  const schema = z
    .string()
    .regex(/^-?\d{1,15}$/)
    .transform(Number)
    .refine((value) => value >= bounds.min && value <= bounds.max);
  return field(name, schema, `a whole number from ${bounds.min} to ${bounds.max}`, common);
}

const unitMs: Readonly<Record<string, number>> = {
  ms: 1,
  s: 1000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
  w: 7 * 86_400_000,
  // A calendar year is never longer, so that 5y holds five of them.
  y: 366 * 86_400_000,
};

/** A duration such as 90s, 12h or 5y, in milliseconds. */
export function duration(
  name: string,
  bounds: { readonly min: string; readonly max: string },
  common: Common,
): Field<number> {
  const min = parseDuration(bounds.min);
  const max = parseDuration(bounds.max);
  const schema = z
    .string()
    .regex(/^\d{1,9}(ms|s|m|h|d|w|y)$/)
    .transform(parseDuration)
    .refine((value) => value >= min && value <= max);
  const shape = `a duration from ${bounds.min} to ${bounds.max} (number and ms, s, m, h, d, w or y)`;
  return field(name, schema, shape, common);
}

/** A duration, or the word off. */
export function durationOrOff(
  name: string,
  bounds: { readonly min: string; readonly max: string },
  common: Common,
): Field<number | 'off'> {
  const { schema, shape } = duration(name, bounds, common);
  return field(name, z.union([z.literal('off'), schema]), `off, or ${shape}`, common);
}

function parseDuration(text: string): number {
  const digits = /^\d+/.exec(text)?.[0] ?? '0';
  return Number(digits) * (unitMs[text.slice(digits.length)] ?? 0);
}

export function choice<const Value extends string>(
  name: string,
  values: readonly [Value, ...Value[]],
  common: Common,
): Field<Value> {
  return field(name, z.enum(values), `one of ${values.join(', ')}`, common);
}

export function flag(name: string, common: Common): Field<boolean> {
  const schema = z.enum(['true', 'false']).transform((value) => value === 'true');
  return field(name, schema, 'true or false', common);
}

/** A name that Redis, PostgreSQL and a log line can all carry. */
export function word(name: string, common: Common): Field<string> {
  const schema = z.string().regex(/^[\x21-\x7e]{1,200}$/);
  return field(name, schema, '1 to 200 printable characters without spaces', common);
}

/** The name of a table with its schema. */
export interface TableName {
  readonly schema: string;
  readonly name: string;
}

/** A name that PostgreSQL does not shorten, without quotes and dots. */
const identifier = '[A-Za-z_][A-Za-z0-9_]{0,62}';

/** A table as schema.table. Names are case-sensitive, because statements quote them. */
export function table(name: string, common: Common): Field<TableName> {
  const schema = z
    .string()
    .regex(new RegExp(`^${identifier}\\.${identifier}$`))
    .transform((text): TableName => {
      const [schema = '', name = ''] = text.split('.');
      return { schema, name };
    });
  const shape = 'a table as schema.table, both of alphanumeric characters and underscores';
  return field(name, schema, shape, common);
}

/** A list of numbers and ranges such as 0-3,8, as the numbers in ascending order. */
export function ranges(name: string, max: number, common: Common): Field<readonly number[]> {
  const schema = z
    .string()
    .regex(/^\d{1,5}(-\d{1,5})?(,\d{1,5}(-\d{1,5})?)*$/)
    .max(1000)
    .transform(parseRanges)
    .refine((numbers) => numbers.length > 0 && numbers.every((number) => number <= max));
  return field(
    name,
    schema,
    `numbers and ascending ranges from 0 to ${max}, such as 0-3,8`,
    common,
  );
}

/** Returns no number if a range descends. */
function parseRanges(text: string): readonly number[] {
  const numbers = new Set<number>();
  for (const part of text.split(',')) {
    const [from = 0, to = from] = part.split('-').map(Number);
    if (to < from) return [];
    for (let number = from; number <= to; number += 1) numbers.add(number);
  }
  return [...numbers].sort((a, b) => a - b);
}

/** A column, case-sensitive. */
export function column(name: string, common: Common): Field<string> {
  const schema = z.string().regex(new RegExp(`^${identifier}$`));
  return field(
    name,
    schema,
    'the name of a column, of alphanumeric characters and underscores',
    common,
  );
}

/** An absolute path in the file system. */
export function path(name: string, common: Common): Field<string> {
  const schema = z.string().regex(/^\/[\x20-\x7e]{0,500}$/);
  return field(name, schema, 'an absolute path', common);
}

/** A host name or address to listen on. */
export function host(name: string, common: Common): Field<string> {
  const schema = z.string().regex(/^[A-Za-z0-9.:_-]{1,253}$/);
  return field(name, schema, 'a host name or an IP address', common);
}

/** A URL with one of the given schemes; it may hold a password and is never shown. */
export function url(
  name: string,
  schemes: readonly string[],
  common: Common & {
    readonly required?: boolean;
    /** What the path is. */
    readonly path: string;
    /** Default: a URL of each scheme. */
    readonly shape?: string;
    readonly fault?: typeof urlFault;
  },
): Field<string> {
  const { path, fault = urlFault, shape: ownShape, ...others } = common;
  const diagnose = (text: string) => fault(text, schemes);
  const schema = z.string().refine((text) => diagnose(text) === null);
  const urls = schemes.map((scheme) => `${scheme}//user:password@host:port/${path}`).join(' or ');
  const shape = ownShape ?? `a URL ${urls}, with special characters in the login percent-encoded`;
  return field(name, schema, shape, { ...others, secret: true, diagnose });
}

/** An address, and the one to use in its place. */
export interface AddressPair {
  readonly from: Place;
  readonly to: Place;
}

const maxAddressPairs = 100;

/** A list of addresses, each with the one to use in its place. */
export function addressMap(name: string, common: Common): Field<readonly AddressPair[]> {
  const schema = z.string().transform((text, context): readonly AddressPair[] => {
    const pairs = text.split(',').flatMap(pairOf);
    const froms = new Set(pairs.map(({ from }) => `${from.host} ${from.port}`));
    const isValid = pairs.length === text.split(',').length && froms.size === pairs.length;
    if (!isValid || pairs.length > maxAddressPairs) context.addIssue('not a list of addresses');
    return pairs;
  });
  const shape = `1 to ${maxAddressPairs} pairs host:port=host:port with commas between, each left side once`;
  return field(name, schema, shape, common);
}

function pairOf(text: string): readonly AddressPair[] {
  const [from, to, ...others] = text.split('=').map((side) => placeOf(side, null));
  if (others.length > 0 || typeof from !== 'object' || typeof to !== 'object') return [];
  return [{ from, to }];
}

export function secret(name: string, common: Common): Field<string> {
  return field(name, z.string().min(1).max(1024), '1 to 1024 characters', {
    ...common,
    secret: true,
  });
}
