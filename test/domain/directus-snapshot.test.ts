/**
 * The columns that a real Directus made, recorded by `npm run test:directus -- --record`, against what
 * the project promises and assumes of them. Text only: no server runs.
 */
import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { parse } from 'yaml';
import { z } from 'zod';
import { coordinates, requiredColumns } from '../../src/db/domain-timing.ts';
import { contractViews } from '../../src/db/domain-views.ts';

const text = (path: string) => readFileSync(new URL(`../../${path}`, import.meta.url), 'utf8');

const snapshot = z
  .object({
    collections: z.array(z.string()),
    fields: z.array(
      z.object({
        collection: z.string(),
        field: z.string(),
        schema: z.object({
          data_type: z.string(),
          max_length: z.number().optional(),
          numeric_precision: z.number().optional(),
          numeric_scale: z.number().optional(),
          default_value: z.union([z.string(), z.number()]).optional(),
          is_nullable: z.boolean().optional(),
          is_primary_key: z.boolean().optional(),
          is_unique: z.boolean().optional(),
          foreign_key_table: z.string().optional(),
        }),
      }),
    ),
  })
  .parse(parse(text('test/fixtures/directus/snapshot.yaml')));

type Schema = (typeof snapshot.fields)[number]['schema'];

const schemaOf = new Map(
  snapshot.fields.map(({ collection, field, schema }) => [`${collection}.${field}`, schema]),
);

/** As a column definition of SQL. */
function definition(schema: Schema): string {
  const { data_type: type, default_value: fallback } = schema;
  const sized = type === 'character varying' ? `${type}(${schema.max_length})` : type;
  const full = type === 'numeric' ? `${type}(${precisionOf(schema)})` : sized;
  const words = [full];
  if (fallback !== undefined) words.push(`DEFAULT '${fallback}'::${type}`);
  if (schema.is_nullable !== true) words.push('NOT NULL');
  return words.join(' ');
}

/** Directus names the precision only of integers' and decimals' columns. */
function precisionOf({ numeric_precision: precision, numeric_scale: scale }: Schema): string {
  return `${precision},${scale}`;
}

const ddl = text('tools/domain/directus-fleet.sql');

/** `table.column` with its definition, of each CREATE TABLE. */
function tablesOf(sql: string): Map<string, string> {
  const columns = [...sql.matchAll(/^CREATE TABLE public\.(\w+) \(\n(.*?)\n\);/gms)].flatMap(
    ([, table, body = '']) =>
      body.split(',\n').map((line): [string, string] => {
        const [, name, rest = ''] = /^ *(\w+) (.*)$/s.exec(line) ?? [];
        return [`${table}.${name}`, rest];
      }),
  );
  return new Map(columns);
}

/** `table.column` with the table that it refers to. */
function referencesOf(sql: string): Map<string, string> {
  const pattern =
    /ALTER TABLE ONLY public\.(\w+) ADD CONSTRAINT \w+\s+FOREIGN KEY \((\w+)\) REFERENCES public\.(\w+)\(id\)/g;
  return new Map(
    [...sql.matchAll(pattern)].map(([, table, column, other = '']) => [
      `${table}.${column}`,
      other,
    ]),
  );
}

interface ViewColumn {
  readonly name: string;
  /** Types of the columns that it comes from, or the one that it is cast to. */
  readonly types: readonly string[];
}

/** The columns of a view of the contract, with their types after the snapshot. */
function viewOf(sql: string, view: string): readonly ViewColumn[] {
  const pattern = new RegExp(`CREATE VIEW processor_contract\\.${view} AS\\nSELECT (.*?);`, 's');
  const [, query = ''] = pattern.exec(sql.replaceAll(/--.*$/gm, '')) ?? [];
  const [list = '', from = ''] = query.split(/\n +FROM /);
  const tables = new Map(
    [...`FROM ${from}`.matchAll(/(?:FROM|JOIN) public\.(\w+) AS (\w+)/g)].map(
      ([, table = '', alias = '']) => [alias, table],
    ),
  );
  return list.split(/,(?![^(]*\))/).map((item) => columnOf(item.trim(), tables));
}

function columnOf(item: string, tables: ReadonlyMap<string, string>): ViewColumn {
  const [expression = '', alias] = item.split(/ AS /);
  const sources = [...expression.matchAll(/\b(\w+)\.(\w+)\b/g)];
  const types = sources.map(([, table = '', column]) => {
    const found = schemaOf.get(`${tables.get(table)}.${column}`);
    return found?.data_type ?? `no column ${table}.${column}`;
  });
  const name = alias ?? sources[0]?.[2] ?? item;
  const cast = /::([a-z ]+)$/.exec(expression.trim())?.[1];
  const isKnown = types.every((type) => !type.startsWith('no column'));
  return { name, types: cast !== undefined && isKnown ? [cast] : [...new Set(types)] };
}

describe('the recorded schema of Directus', () => {
  test('is what the collections of the tests are', () => {
    const recorded = new Map([...schemaOf].map(([name, schema]) => [name, definition(schema)]));
    expect(Object.fromEntries(tablesOf(ddl))).toEqual(Object.fromEntries(recorded));
  });

  test('has the keys and references of the collections of the tests', () => {
    const references = [...schemaOf].flatMap(([name, { foreign_key_table: other }]) =>
      other === undefined ? [] : [[name, other] as const],
    );
    expect(Object.fromEntries(referencesOf(ddl))).toEqual(Object.fromEntries(references));
    for (const collection of snapshot.collections) {
      expect(schemaOf.get(`${collection}.id`)?.is_primary_key, collection).toBe(true);
    }
    expect(schemaOf.get('devices.imei')?.is_unique).toBe(true);
  });

  test.each([...requiredColumns, ...coordinates])(
    'has timing_records.$name in a type that the contract takes',
    ({ name, types, holdsNull = false }) => {
      const schema = schemaOf.get(`timing_records.${name}`);
      expect(types).toContain(schema?.data_type);
      if (holdsNull) expect(schema?.is_nullable).toBe(true);
    },
  );

  test.each(contractViews)('gives $name by contract-fleet.sql as promised', ({ name, columns }) => {
    const view = viewOf(text('deploy/sql/directus/contract-fleet.sql'), name);
    expect(view.map((column) => column.name)).toEqual(columns.map((column) => column.name));
    for (const [index, { types }] of columns.entries()) {
      const found = view[index]?.types ?? [];
      expect(found).toHaveLength(1);
      expect(types, `${name}.${columns[index]?.name}`).toContain(found[0]);
    }
  });
});
