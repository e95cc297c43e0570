import type pg from 'pg';
import type { Position } from '../core/types.ts';
import { readDatabaseFailure, toDependencyError } from './errors.ts';
import {
  compareCompressedStatement,
  compareStatement,
  encodeComparison,
  encodeCompressedComparison,
} from './position-columns.ts';
import { groupByChunk } from './write-plan.ts';

export interface ComparisonOptions {
  readonly chunkIntervalMs: number;
  /** Whether the chunk of a time may be compressed; by default no chunk is. */
  readonly mayBeCompressed?: (ts: number) => boolean;
}

/** The result for a row whose key is stored. */
export interface Compared {
  /** Index of the row in the batch. */
  readonly index: number;
  readonly same: boolean;
}

/** SQLSTATE of a statement that timed out or was cancelled. */
export const statementTimeout = '57014';

/** Minimum number of rows to split after a timeout; fewer rows are not the cause of it. */
const minToSplit = 100;

/** Compares the rows of one batch with the rows stored under their keys. */
export class BatchComparison {
  readonly #client: pg.PoolClient;
  readonly #rows: readonly Position[];
  readonly #options: ComparisonOptions;
  statements = 0;

  constructor(client: pg.PoolClient, rows: readonly Position[], options: ComparisonOptions) {
    this.#client = client;
    this.#rows = rows;
    this.#options = options;
  }

  /**
   * Compares one chunk at a time and passes each result to `take`. With one statement for all
   * chunks, the bounds on ts would span from the latest record to now, and all of it would be read.
   * @throws DependencyError
   */
  async byChunk(
    indexes: readonly number[],
    take: (found: readonly Compared[]) => void,
  ): Promise<void> {
    for (const chunk of groupByChunk(indexes, this.#rows, this.#options.chunkIntervalMs)) {
      await this.#split(chunk, take);
    }
  }

  /** Splits a comparison that timed out: retried whole, it would time out again. */
  async #split(
    indexes: readonly number[],
    take: (found: readonly Compared[]) => void,
  ): Promise<void> {
    if (indexes.length === 0) return;
    try {
      take(await this.ask(indexes));
    } catch (error) {
      const failure = readDatabaseFailure(error);
      const isLong = failure.code === statementTimeout && indexes.length >= minToSplit;
      const splits = isLong || (failure.class === 'batch' && indexes.length > 1);
      if (!splits) throw toDependencyError(failure, error);
      const middle = indexes.length >> 1;
      await this.#split(indexes.slice(0, middle), take);
      await this.#split(indexes.slice(middle), take);
    }
  }

  /** Finds the stored rows and whether their content is the same. @throws any error of pg */
  async ask(indexes: readonly number[]): Promise<Compared[]> {
    this.statements += 1;
    const rows = indexes.flatMap((index) => this.#rows[index] ?? []);
    const { mayBeCompressed } = this.#options;
    const isCompressed =
      mayBeCompressed !== undefined && rows.some(({ ts }) => mayBeCompressed(ts));
    const result = await this.#client.query<[number, boolean]>({
      ...(isCompressed
        ? { text: compareCompressedStatement, values: encodeCompressedComparison(rows) }
        : { text: compareStatement, values: encodeComparison(rows) }),
      rowMode: 'array',
    });
    return result.rows.flatMap(([ord, same]) => {
      const index = indexes[ord - 1];
      return index === undefined ? [] : [{ index, same }];
    });
  }
}
