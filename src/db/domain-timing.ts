import pg from 'pg';
import type { ContractFault, TimingTable } from '../domain/contract.ts';
import { keyTypes } from '../domain/contract-keys.ts';
import {
  type Column,
  type Index,
  type Relation,
  readIndexes,
  readRelation,
  readSchema,
} from './domain-catalogue.ts';

export interface TimingOptions {
  readonly timingTable: { readonly schema: string; readonly name: string };
  /** Null: no column for what a device is assigned to. */
  readonly subjectColumn: string | null;
}

interface TimingCheck {
  readonly timing: TimingTable | null;
  readonly faults: readonly ContractFault[];
  readonly warnings: readonly ContractFault[];
}

interface WrittenColumn {
  readonly name: string;
  readonly types: readonly [string, ...string[]];
  /** Whether null is written to it at times. */
  readonly holdsNull?: boolean;
}

const idTypes = ['uuid', 'text', 'character varying'] as const;
const words = ['text', 'character varying'] as const;
const times = ['timestamp with time zone'] as const;
const degrees = ['double precision', 'real', 'numeric'] as const;
/** Milliseconds: a fix is found again by its time. */
const MIN_PRECISION = 3;

/** docs/domain.md describes them; a test compares the two. */
export const requiredColumns: readonly WrittenColumn[] = [
  { name: 'id', types: idTypes },
  { name: 'device', types: keyTypes },
  { name: 'geofence', types: keyTypes },
  { name: 'direction', types: words },
  { name: 'at', types: times },
  { name: 'before_ts', types: times, holdsNull: true },
  { name: 'after_ts', types: times },
  { name: 'method', types: words },
  { name: 'source', types: words },
  { name: 'superseded_at', types: times, holdsNull: true },
];
export const coordinates: readonly WrittenColumn[] = [
  { name: 'latitude', types: degrees },
  { name: 'longitude', types: degrees },
];
const dateCreated: WrittenColumn = { name: 'date_created', types: times };
/** Filled where they are there. */
export const optionalColumns: readonly WrittenColumn[] = [...coordinates, dateCreated];

const live = 'WHERE superseded_at IS NULL';
export const wantedIndexes = [
  { columns: ['device', 'after_ts'], definition: `(device, after_ts) ${live}` },
  {
    columns: ['device', 'geofence', 'after_ts'],
    definition: `(device, geofence, after_ts DESC) ${live}`,
  },
] as const;

/** Checks the table that timing records are written to, for the rights of `role`. */
export async function checkTiming(
  client: pg.ClientBase,
  { timingTable: { schema, name }, subjectColumn }: TimingOptions,
  role: string,
): Promise<TimingCheck> {
  const sql = qualified(schema, name);
  const fail = (problem: string, advice: string): TimingCheck => ({
    timing: null,
    faults: [{ object: `${schema}.${name}`, problem, advice }],
    warnings: [],
  });
  const relation = await readRelation(client, schema, name);
  if (relation === null) {
    const advice = `create it by Directus or by deploy/sql/directus/, or name the right one in DOMAIN_TIMING_TABLE`;
    return fail('the table is missing', advice);
  }
  if (relation.kind !== 'r' && relation.kind !== 'p') {
    return fail('it is no table', 'name a table in DOMAIN_TIMING_TABLE');
  }
  const usage = await readSchema(client, schema);
  if (!usage.isUsable) {
    const grant = `GRANT USAGE ON SCHEMA ${pg.escapeIdentifier(schema)} TO ${pg.escapeIdentifier(role)}`;
    return fail(`${role} may not use its schema`, grant);
  }
  const table: Table = { ...relation, title: `${schema}.${name}`, sql, role };
  const indexes = await readIndexes(client, relation);
  return judge(table, indexes, { schema, name }, subjectColumn);
}

interface Table extends Relation {
  /** As faults name it. */
  readonly title: string;
  /** As SQL names it. */
  readonly sql: string;
  readonly role: string;
}

function qualified(schema: string, name: string): string {
  return `${pg.escapeIdentifier(schema)}.${pg.escapeIdentifier(name)}`;
}

function judge(
  table: Table,
  indexes: readonly Index[],
  place: { readonly schema: string; readonly name: string },
  subjectColumn: string | null,
): TimingCheck {
  const subject = subjectColumn === null ? [] : [{ name: subjectColumn, types: keyTypes }];
  const required = [...requiredColumns, ...subject];
  const faults = [
    ...required.flatMap((column) => columnFaults(table, column)),
    ...keyFaults(table, indexes),
    ...unfilledFaults(table, [...required, ...optionalColumns]),
  ];
  const isFilled = (column: WrittenColumn): boolean =>
    table.columns.has(column.name) && columnFaults(table, column, false).length === 0;
  const hasCoordinates = coordinates.every(isFilled);
  const unusable = optionalColumns
    .filter(({ name }) => table.columns.has(name))
    .filter((c) => !isFilled(c));
  const warnings = [
    ...unusable.flatMap((column) => columnFaults(table, column, false)),
    ...indexWarnings(table, indexes),
  ];
  const typeOf = (name: string): string => table.columns.get(name)?.type ?? 'text';
  return {
    timing: {
      ...place,
      idType: typeOf('id'),
      deviceType: typeOf('device'),
      geofenceType: typeOf('geofence'),
      subject:
        subjectColumn === null ? null : { column: subjectColumn, type: typeOf(subjectColumn) },
      hasCoordinates,
      hasDateCreated: isFilled(dateCreated),
    },
    faults,
    warnings,
  };
}

function columnFaults(
  table: Table,
  wanted: WrittenColumn,
  isRead = true,
): readonly ContractFault[] {
  const object = `${table.title}.${wanted.name}`;
  const column = pg.escapeIdentifier(wanted.name);
  const alter = `ALTER TABLE ${table.sql}`;
  const found = table.columns.get(wanted.name);
  if (found === undefined) {
    const advice = `${alter} ADD COLUMN ${column} ${wanted.types[0]}`;
    return [{ object, problem: 'the column is missing', advice }];
  }
  const faults: ContractFault[] = [];
  const type = typeProblem(found, wanted);
  if (type !== null) {
    const advice = `${alter} ALTER COLUMN ${column} TYPE ${wanted.types[0]}`;
    faults.push({ object, problem: type, advice });
  }
  if (wanted.holdsNull === true && found.isNotNull) {
    const advice = `${alter} ALTER COLUMN ${column} DROP NOT NULL`;
    faults.push({ object, problem: 'it refuses null, which is written to it', advice });
  }
  return [...faults, ...rightFaults(table, found, isRead)];
}

function typeProblem({ type, precision, isGenerated }: Column, wanted: WrittenColumn) {
  if (isGenerated) return 'its values are generated, and cannot be written';
  if (!wanted.types.includes(type)) return `its type is ${type}, not ${wanted.types[0]}`;
  if (precision !== null && precision < MIN_PRECISION) {
    return `it keeps ${precision} digits of a second, not ${MIN_PRECISION}`;
  }
  return null;
}

function rightFaults(table: Table, column: Column, isRead: boolean): readonly ContractFault[] {
  const object = `${table.title}.${column.name}`;
  const wanted = [
    ['SELECT', !isRead || column.mayBeSelected],
    ['INSERT', column.mayBeInserted],
    ['UPDATE', column.name !== 'superseded_at' || column.mayBeUpdated],
  ] as const;
  return wanted.flatMap(([right, isThere]) => {
    if (isThere) return [];
    const where = right === 'INSERT' ? '' : ` (${pg.escapeIdentifier(column.name)})`;
    const advice = `GRANT ${right}${where} ON ${table.sql} TO ${pg.escapeIdentifier(table.role)}`;
    return [{ object, problem: `${table.role} has no right to ${right} it`, advice }];
  });
}

/** The key decides whether a crossing is stored once. */
function keyFaults(table: Table, indexes: readonly Index[]): readonly ContractFault[] {
  const primary = indexes.find(({ isPrimary }) => isPrimary);
  if (primary?.isUsable === true && primary.columns.join() === 'id') return [];
  const object = `${table.title}.id`;
  const problem =
    primary === undefined
      ? 'the table has no primary key'
      : 'the primary key is not exactly this column, or it is deferrable';
  const drop = primary === undefined ? '' : 'drop the primary key; ';
  return [{ object, problem, advice: `${drop}ALTER TABLE ${table.sql} ADD PRIMARY KEY (id)` }];
}

/** Columns that nothing fills would refuse every row. */
function unfilledFaults(table: Table, filled: readonly WrittenColumn[]): readonly ContractFault[] {
  const names = new Set(filled.map(({ name }) => name));
  return [...table.columns.values()]
    .filter(({ name, isNotNull, hasDefault }) => isNotNull && !hasDefault && !names.has(name))
    .map(({ name }) => ({
      object: `${table.title}.${name}`,
      problem: 'it refuses null, has no default, and is not filled by this service',
      advice: `ALTER TABLE ${table.sql} ALTER COLUMN ${pg.escapeIdentifier(name)} DROP NOT NULL`,
    }));
}

function indexWarnings(table: Table, indexes: readonly Index[]): readonly ContractFault[] {
  return wantedIndexes
    .filter(({ columns }) => !indexes.some((index) => isAs(index, columns)))
    .map(({ definition }) => ({
      object: table.title,
      problem: `no index on ${definition}: every batch reads the whole table`,
      advice: `CREATE INDEX CONCURRENTLY ON ${table.sql} ${definition}`,
    }));
}

function isAs({ isUsable, columns, predicate }: Index, wanted: readonly string[]): boolean {
  const isWhole = predicate === null || predicate === '(superseded_at IS NULL)';
  return isUsable && isWhole && wanted.every((name, at) => columns[at] === name);
}
