import { show } from './read.ts';
import type { Report, Values } from './types.ts';
import { variables } from './variables.ts';

/** Columns of the timing table with a meaning of their own: the subject cannot be one of them. */
const otherColumns = new Set([
  'id',
  'device',
  'geofence',
  'direction',
  'at',
  'before_ts',
  'after_ts',
  'method',
  'source',
  'superseded_at',
  'latitude',
  'longitude',
  'date_created',
  'date_updated',
]);

/** The rule of each variable, as the report prints it. */
export const domainRules = {
  domainTimingTable: 'the table of timing records, which Directus owns',
  domainSubjectColumn: 'a column for the subject alone, such as vehicle or entry',
} as const;

/** Reports names of the domain that would make it write into what has another meaning. */
export function reportDomainProblems(
  { domainTimingTable: table, domainSubjectColumn: column }: Values,
  report: Report,
): void {
  const reject = (key: keyof typeof domainRules, got: string) => {
    const { name, example } = variables[key];
    report({ name, example, shape: domainRules[key] }, got);
  };
  if (table !== null && isOwn(table)) {
    const got = `${show(`${table.schema}.${table.name}`)}, which belongs to this service`;
    reject('domainTimingTable', got);
  }
  if (column !== null && otherColumns.has(column)) {
    reject('domainSubjectColumn', `${show(column)}, which has another meaning`);
  }
}

function isOwn({ schema, name }: { readonly schema: string; readonly name: string }): boolean {
  if (schema === 'positions') return true;
  return schema === 'public' && (name === 'positions' || name === 'processor_migrations');
}
