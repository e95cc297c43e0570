import type { Position } from '../core/types.ts';
import { asDependencyError } from './errors.ts';
import type { Database } from './pool.ts';
import { compareStatement, encodeComparison } from './position-columns.ts';
import { groupByChunk } from './write-plan.ts';

/** What `positions` has under a row's key. */
export type Stored = 'same' | 'other' | 'absent';

/** Rows compared in one statement. */
const rowsPerStatement = 1000;

/**
 * Finds rows by their keys and compares them, by the rule that separates duplicates from conflicts.
 * Results are in the order of `rows`. @throws DependencyError
 */
export async function compareStored(
  database: Database,
  rows: readonly Position[],
  chunkIntervalMs: number,
): Promise<Stored[]> {
  const found: Stored[] = rows.map(() => 'absent');
  const chunks = groupByChunk([...rows.keys()], rows, chunkIntervalMs);
  try {
    await database.use(async (client) => {
      for (const indexes of chunks.flatMap((chunk) => pages(chunk, rowsPerStatement))) {
        const page = indexes.flatMap((index) => rows[index] ?? []);
        const result = await client.query<[number, boolean]>({
          text: compareStatement,
          values: encodeComparison(page),
          rowMode: 'array',
        });
        for (const [ord, same] of result.rows) {
          const index = indexes[ord - 1];
          if (index !== undefined) found[index] = same ? 'same' : 'other';
        }
      }
    });
  } catch (error) {
    throw asDependencyError(error);
  }
  return found;
}

function pages<Item>(items: readonly Item[], size: number): Item[][] {
  const count = Math.ceil(items.length / size);
  return Array.from({ length: count }, (_, page) => items.slice(page * size, (page + 1) * size));
}
