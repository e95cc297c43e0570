import { checkContract } from '../../db/domain-contract.ts';
import type { ContractFault } from '../../domain/contract.ts';
import type { Stores } from '../stores.ts';
import { onDomain } from './session.ts';

/** The contract as the login of the domain finds it. */
export interface ContractView {
  /** Empty: it is as promised. */
  readonly faults: readonly ContractFault[];
  /** What works and costs, such as a missing index. */
  readonly warnings: readonly ContractFault[];
}

/** Checks the contract as the service does, whether DOMAIN is on or off. @throws DependencyError */
export async function viewContract(stores: Stores): Promise<ContractView> {
  const check = await onDomain(stores, (client) => checkContract(client, stores.config.domain));
  return check.ok
    ? { faults: [], warnings: check.warnings }
    : { faults: check.faults, warnings: [] };
}
