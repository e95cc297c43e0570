import type pg from 'pg';
import { DependencyError } from '../../core/types.ts';
import { asDependencyError } from '../../db/errors.ts';
import type { Stores } from '../stores.ts';

/** Advice of the domain's own, where that of the writer's role would mislead. */
const advice: Readonly<Record<string, string>> = {
  '42501': 'a permission is missing: run deploy/sql/roles.sql, and set DOMAIN_POSTGRES_URL',
  '28P01': 'the password was refused: check DOMAIN_POSTGRES_URL or DOMAIN_POSTGRES_PASSWORD',
};

/** Runs work on one connection with the login of the domain. @throws DependencyError */
export async function onDomain<Result>(
  { domainDatabase }: Stores,
  work: (client: pg.PoolClient) => Promise<Result>,
): Promise<Result> {
  try {
    return await domainDatabase().use(work);
  } catch (error) {
    const found = asDependencyError(error);
    const own = advice[found.code];
    if (own === undefined) throw found;
    const { dependency, kind, code } = found;
    throw new DependencyError(dependency, kind, code, `database ${code}: ${own}`, { cause: error });
  }
}
