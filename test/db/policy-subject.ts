import type { Client } from 'pg';
import { onTestFinished } from 'vitest';
import type { Logger } from '../../src/core/types.ts';
import { type MigrateOptions, type MigrationResult, migrate } from '../../src/db/migrator.ts';
import { describePolicies, type Policies } from '../../src/db/policies.ts';
import type { FreshDatabase } from '../setup/database.ts';
import { connect, dayMs, migrateOptions, migrations, silent } from './positions.ts';

export const all = { columnstoreAfterMs: 30 * dayMs, retentionMs: 365 * dayMs, aggregates: true };
export const none = { columnstoreAfterMs: null, retentionMs: null, aggregates: false };

export interface Subject {
  readonly url: string;
  readonly client: Client;
  configure(change: Partial<Omit<MigrateOptions, 'url'>>, log?: Logger): Promise<MigrationResult>;
}

/** A migrated database without policies, to be configured. */
export async function subject(fresh: () => Promise<FreshDatabase>): Promise<Subject> {
  const { url, drop } = await fresh();
  onTestFinished(drop);
  const configure: Subject['configure'] = (change, log = silent) =>
    migrate(migrations, migrateOptions(url, change), log);
  await configure({});
  return { url, client: await connect(url), configure };
}

export async function edition(client: Client): Promise<Policies['edition']> {
  return (await describePolicies(client)).edition;
}

/** Jobs by their ids, so that one taken away and added again is seen. */
export async function jobs(client: Client): Promise<unknown[]> {
  const { rows } = await client.query(
    'SELECT job_id, proc_name, config FROM timescaledb_information.jobs WHERE job_id >= 1000 ORDER BY 1',
  );
  return rows;
}
