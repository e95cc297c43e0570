import { randomUUID } from 'node:crypto';
import type { Client } from 'pg';
import { type ContractCheck, checkContract } from '../../src/db/domain-contract.ts';
import type { TimingOptions } from '../../src/db/domain-timing.ts';
import { sessionStatement } from '../../src/db/session.ts';
import { createDirectus } from '../../tools/domain-fixture.ts';
import { askPostgres } from '../../tools/servers/ask.ts';
import { databaseUrl, freshDatabase } from '../setup/database.ts';
import { openClient } from './positions.ts';

export const timingOptions: TimingOptions = {
  timingTable: { schema: 'public', name: 'timing_records' },
  subjectColumn: 'vehicle',
};

export interface ContractDatabase {
  readonly url: string;
  readonly role: string;
  /** A superuser's connection, with the settings of the service's sessions. */
  readonly client: Client;
  drop(): Promise<void>;
}

/** Directus' collections with the contract on top, and a role that evaluates. */
export async function contractDatabase(
  kind: 'fleet' | 'race' = 'fleet',
): Promise<ContractDatabase> {
  const { url, drop } = await freshDatabase();
  const role = `domain_${randomUUID().replaceAll('-', '')}`;
  const client = await openClient(url);
  await client.query(sessionStatement({ statementTimeoutMs: 20_000, lockTimeoutMs: 10_000 }));
  await client.query(`CREATE ROLE ${role}`);
  await createDirectus(client, kind, { domainRole: role });
  return {
    url,
    role,
    client,
    async drop() {
      await client.end();
      await drop();
      await askPostgres(databaseUrl(), `DROP ROLE ${role}`);
    },
  };
}

/** Checks with the rights of the role that evaluates. */
export async function checkAs(
  { client, role }: ContractDatabase,
  options: TimingOptions = timingOptions,
): Promise<ContractCheck> {
  await client.query(`SET ROLE ${role}`);
  try {
    return await checkContract(client, options);
  } finally {
    await client.query('RESET ROLE').catch(() => {});
  }
}

/** Checks after a change that is undone; the change must leave views readable. */
export async function checkWith(
  database: ContractDatabase,
  change: string,
  options: TimingOptions = timingOptions,
): Promise<ContractCheck> {
  await database.client.query('BEGIN');
  try {
    await database.client.query(change);
    return await checkAs(database, options);
  } finally {
    await database.client.query('ROLLBACK');
  }
}

/** The faults of a check, as one line each. */
export function faultsOf(check: ContractCheck): string[] {
  return check.ok ? [] : check.faults.map(({ object, problem }) => `${object}: ${problem}`);
}
