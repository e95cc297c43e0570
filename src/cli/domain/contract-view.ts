import type pg from 'pg';
import { checkContract } from '../../db/domain-contract.ts';
import { type ContractReading, readContract } from '../../db/domain-load.ts';
import { ContractBrokenError, type ContractFault } from '../../domain/contract.ts';
import type { Stores } from '../stores.ts';
import { onDomain } from './session.ts';

/** The contract as the login of the domain finds it. */
export interface ContractView {
  /** Empty: it is as promised. */
  readonly faults: readonly ContractFault[];
  /** What works and costs, such as a missing index. */
  readonly warnings: readonly ContractFault[];
  /** What the views hold; null: the contract is broken. */
  readonly reading: ContractReading | null;
}

/** Checks and reads the contract, whether DOMAIN is on or off. @throws DependencyError */
export async function viewContract({ config, ...stores }: Stores): Promise<ContractView> {
  const { domain } = config;
  return await onDomain({ config, ...stores }, async (client) => {
    const check = await checkContract(client, domain);
    if (!check.ok) return broken(check.faults);
    try {
      const reading = await inSnapshot(client, () => readContract(client, check.timing, domain));
      return { faults: [], warnings: check.warnings, reading };
    } catch (error) {
      if (error instanceof ContractBrokenError) return broken(error.faults);
      throw error;
    }
  });
}

function broken(faults: readonly ContractFault[]): ContractView {
  return { faults, warnings: [], reading: null };
}

/** Runs work in one transaction that reads one state of the database. */
export async function inSnapshot<Result>(
  client: pg.ClientBase,
  work: () => Promise<Result>,
): Promise<Result> {
  await client.query('BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY');
  try {
    return await work();
  } finally {
    // Nothing was written. A connection that is gone has no transaction.
    await client.query('ROLLBACK').catch(() => undefined);
  }
}
