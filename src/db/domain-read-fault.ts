import pg from 'pg';
import { ContractBrokenError, type ContractFault } from '../domain/contract.ts';
import { asDependencyError } from './errors.ts';
import { meaningOf } from './sqlstates.ts';

const CANCELLED = '57014';
const DENIED = '42501';

/**
 * The fault that reading a view shows. A statement that the server cancels counts as the view's
 * fault: every statement here is bounded by the session's timeout.
 * @throws DependencyError if the database is not available
 */
export function faultOfReading(object: string, error: unknown, owner = 'its owner'): ContractFault {
  if (!(error instanceof pg.DatabaseError) || error.code === undefined) {
    throw asDependencyError(error);
  }
  const { code } = error;
  if (code === CANCELLED) {
    const advice = `make it faster: EXPLAIN ANALYZE SELECT * FROM ${object}; or raise STATEMENT_TIMEOUT_MS`;
    return { object, problem: 'reading it takes longer than STATEMENT_TIMEOUT_MS', advice };
  }
  if (meaningOf(code).class === 'unavailable') throw asDependencyError(error);
  if (code === DENIED) {
    const advice = `grant the view's owner SELECT on every table behind it, or create the view as their owner`;
    return { object, problem: `${owner}, who owns the view, may not read behind it`, advice };
  }
  const advice = `see the error as its owner, and fix it: SELECT * FROM ${object}`;
  return { object, problem: `reading it fails with SQLSTATE ${code}`, advice };
}

/**
 * Runs a statement that reads views of the contract.
 * @throws ContractBrokenError if a view fails; DependencyError if the database is not available
 */
export async function readingViews<Result>(
  object: string,
  run: () => Promise<Result>,
): Promise<Result> {
  try {
    return await run();
  } catch (error) {
    if (error instanceof ContractBrokenError) throw error;
    throw new ContractBrokenError([faultOfReading(object, error)], { cause: error });
  }
}
