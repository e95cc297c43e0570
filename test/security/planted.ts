/** Functions and operators that another role planted where a careless name would find them. */
import { ask } from './roles.ts';

/** Each notes that it ran, also when its transaction is rolled back, and ends the statement. */
const body = `LANGUAGE plpgsql AS $f$ BEGIN
  PERFORM pg_catalog.nextval('public.planted_runs');
  RAISE EXCEPTION 'a planted function ran as %', current_user;
END $f$`;

/** They match a call better than PostgreSQL's own, which take any type. */
const overloads = [
  'format(text, text) RETURNS text',
  'format(text, text, text) RETURNS text',
  'unnest(text[]) RETURNS SETOF text',
  'unnest(timestamptz[]) RETURNS SETOF timestamptz',
  'unnest(float8[]) RETURNS SETOF float8',
  'cardinality(text[]) RETURNS int',
  'quote_ident(name) RETURNS text',
  'array_to_string(text[], text) RETURNS text',
  'aclexplode(text[]) RETURNS SETOF text',
  'array_length(text[], int) RETURNS int',
];

/** PostgreSQL has none of these: it converts, for example the integer of a range check. */
const operators = [
  '>= (float8, int4)',
  '<= (float8, int4)',
  '>= (float4, int4)',
  '<= (float4, int4)',
  '= (regclass, oid)',
  '= (oid, regclass)',
];

/** As the extension's, with the exact types of a call. */
export const timescaleOverloads = [
  'drop_chunks(relation regclass, older_than timestamptz) RETURNS SETOF text',
  'set_chunk_time_interval(regclass, interval) RETURNS void',
  'by_range(text, interval) RETURNS text',
  'add_retention_policy(relation regclass, drop_after interval) RETURNS int',
  'last(float8, timestamptz) RETURNS float8',
];

export const marker = `DROP SEQUENCE IF EXISTS public.planted_runs;
  CREATE SEQUENCE public.planted_runs; GRANT USAGE ON public.planted_runs TO PUBLIC`;

export function plantFunction(signature: string): string {
  return `CREATE FUNCTION public.${signature} ${body}`;
}

export function plantAll(): string[] {
  return [
    marker,
    ...overloads.map(plantFunction),
    ...operators.flatMap((operator, at) => {
      const [, name, left, right] = /^(\S+) \((\w+), (\w+)\)$/.exec(operator) ?? [];
      return [
        plantFunction(`planted_${at}(${left}, ${right}) RETURNS boolean`),
        `CREATE OPERATOR public.${name} (FUNCTION = public.planted_${at}, LEFTARG = ${left}, RIGHTARG = ${right})`,
      ];
    }),
  ];
}

/** How often planted functions ran. */
export async function plantedRuns(url: string): Promise<number> {
  const [found] = await ask<{ runs: number }>(
    url,
    `SELECT (CASE WHEN is_called THEN last_value ELSE 0 END)::int AS runs FROM public.planted_runs`,
  );
  return found?.runs ?? Number.NaN;
}
