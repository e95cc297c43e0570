import type { Position } from '../core/types.ts';
import { asDependencyError } from './errors.ts';
import type { Database } from './pool.ts';
import { compareStatement, encodeComparison } from './position-columns.ts';
import { groupByChunk } from './write-plan.ts';

/** What `positions` holds under a row's key. */
export type Stored = 'same' | 'other' | 'absent';

/** Rows compared in one statement. */
const rowsPerStatement = 1000;

/**
 * Looks rows up by their keys and compares them, by the very rule that tells a duplicate from a
 * conflict. Answers in the rows' order. @throws DependencyError
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
      for (const places of chunks.flatMap((chunk) => pages(chunk, rowsPerStatement))) {
        const page = places.flatMap((place) => rows[place] ?? []);
        const result = await client.query<[number, boolean]>({
          text: compareStatement,
          values: encodeComparison(page),
          rowMode: 'array',
        });
        for (const [ord, same] of result.rows) {
          const place = places[ord - 1];
          if (place !== undefined) found[place] = same ? 'same' : 'other';
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
