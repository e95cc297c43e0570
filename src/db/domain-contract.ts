import pg from 'pg';
import type { ContractFault, TimingTable } from '../domain/contract.ts';
import { type Relation, readRelation, readRole, readSchema } from './domain-catalogue.ts';
import { faultOfReading } from './domain-read-fault.ts';
import { checkTiming, type TimingOptions } from './domain-timing.ts';
import { contractRows, contractViews, type PromisedView } from './domain-views.ts';
import { asDependencyError } from './errors.ts';

export type ContractCheck =
  | {
      readonly ok: true;
      readonly timing: TimingTable;
      /** What works and costs: missing indexes, optional columns that cannot be filled. */
      readonly warnings: readonly ContractFault[];
    }
  | { readonly ok: false; readonly faults: readonly ContractFault[] };

const SCHEMA = 'processor_contract';
const SAMPLES = 'deploy/sql/directus/';

/**
 * Compares what the owner of the Directus side promises with the catalogue: the views, their columns
 * and types, the table of timing records, its key, and the rights of this session's role. Reads one
 * row of each view, because a view that may be read can still fail.
 *
 * Run it outside of a transaction, on a session with a statement timeout.
 * @throws DependencyError if the database is not available
 */
export async function checkContract(
  client: pg.ClientBase,
  options: TimingOptions,
): Promise<ContractCheck> {
  try {
    const role = await readRole(client);
    const faults = await checkViews(client, role);
    const table = await checkTiming(client, options, role);
    const all = [...faults, ...table.faults];
    if (all.length > 0 || table.timing === null) return { ok: false, faults: all };
    return { ok: true, timing: table.timing, warnings: table.warnings };
  } catch (error) {
    throw asDependencyError(error);
  }
}

async function checkViews(client: pg.ClientBase, role: string): Promise<readonly ContractFault[]> {
  const schema = await readSchema(client, SCHEMA);
  if (!schema.exists) {
    const advice = `apply ${SAMPLES}contract-fleet.sql or contract-race.sql as the owner of the Directus tables`;
    return [{ object: SCHEMA, problem: 'the schema is missing', advice }];
  }
  if (!schema.isUsable) {
    const advice = `GRANT USAGE ON SCHEMA ${SCHEMA} TO ${pg.escapeIdentifier(role)}`;
    return [{ object: SCHEMA, problem: `${role} may not use the schema`, advice }];
  }
  const faults: ContractFault[] = [];
  for (const view of contractViews) faults.push(...(await checkView(client, view, role)));
  return faults;
}

async function checkView(
  client: pg.ClientBase,
  view: PromisedView,
  role: string,
): Promise<readonly ContractFault[]> {
  const object = `${SCHEMA}.${view.name}`;
  const relation = await readRelation(client, SCHEMA, view.name);
  if (relation === null) {
    if (view.isOptional) return [];
    return [{ object, problem: 'the view is missing', advice: recreate(view) }];
  }
  const faults = columnFaults(view, relation);
  if (view.columns.some(({ name }) => relation.columns.get(name)?.mayBeSelected === false)) {
    const advice = `GRANT SELECT ON ${object} TO ${pg.escapeIdentifier(role)}`;
    faults.push({ object, problem: `${role} may not read all columns`, advice });
  }
  if (faults.length > 0) return faults;
  const fault = await probe(client, view, relation.owner);
  return fault === null ? [] : [fault];
}

function columnFaults(view: PromisedView, relation: Relation): ContractFault[] {
  return view.columns.flatMap(({ name, types }) => {
    const object = `${SCHEMA}.${view.name}.${name}`;
    const found = relation.columns.get(name);
    if (found === undefined) {
      return [{ object, problem: 'the column is missing', advice: recreate(view) }];
    }
    if (types.includes(found.type)) return [];
    const problem = `its type is ${found.type}, not ${types[0]}`;
    return [{ object, problem, advice: recreate(view) }];
  });
}

/** The whole list of columns: CREATE OR REPLACE VIEW can neither rename nor retype one. */
function recreate({ name, columns }: PromisedView): string {
  const list = columns.map((column) => `${column.name} ${column.types[0]}`).join(', ');
  return `as its owner: DROP VIEW IF EXISTS ${SCHEMA}.${name}; CREATE VIEW ${SCHEMA}.${name} with the columns ${list}; GRANT SELECT on it again (${SAMPLES})`;
}

async function probe(
  client: pg.ClientBase,
  view: PromisedView,
  owner: string,
): Promise<ContractFault | null> {
  const rows = Object.entries(contractRows).find(([name]) => name === view.name);
  if (rows === undefined) return null;
  try {
    await client.query(`${rows[1]} LIMIT 1`);
    return null;
  } catch (error) {
    return faultOfReading(`${SCHEMA}.${view.name}`, error, owner);
  }
}
