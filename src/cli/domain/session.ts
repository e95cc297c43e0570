import type pg from 'pg';
import { asDependencyError } from '../../db/errors.ts';
import type { Stores } from '../stores.ts';

/** Runs work on one connection with the login of the domain. @throws DependencyError */
export async function onDomain<Result>(
  { domainDatabase }: Stores,
  work: (client: pg.PoolClient) => Promise<Result>,
): Promise<Result> {
  try {
    return await domainDatabase().use(work);
  } catch (error) {
    throw asDependencyError(error);
  }
}
