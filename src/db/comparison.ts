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
  /** Whether the chunk of a time may be compressed; without it none is. */
  readonly mayBeCompressed?: (ts: number) => boolean;
}

/** What a row's key holds already. */
export interface Compared {
  /** Index of the row in its batch. */
  readonly place: number;
  readonly same: boolean;
}

/** Also what a cancelled statement ends with. */
export const statementTimeout = '57014';

/** A comparison of fewer rows that is not finished in time is the server's trouble, not its size's. */
const minToSplit = 100;

/** Compares the rows of one batch with what is stored under their keys. */
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
   * Compares a chunk at a time and passes on what each holds: over all of them the bounds on ts
   * would be as wide as the latest record is late, and everything between would be read.
   * @throws DependencyError
   */
  async byChunk(
    places: readonly number[],
    take: (found: readonly Compared[]) => void,
  ): Promise<void> {
    for (const chunk of groupByChunk(places, this.#rows, this.#options.chunkIntervalMs)) {
      await this.#split(chunk, take);
    }
  }

  /** What the server does not finish in time is asked in halves: retried whole, it would never end. */
  async #split(
    places: readonly number[],
    take: (found: readonly Compared[]) => void,
  ): Promise<void> {
    if (places.length === 0) return;
    try {
      take(await this.ask(places));
    } catch (error) {
      const failure = readDatabaseFailure(error);
      const isLong = failure.code === statementTimeout && places.length >= minToSplit;
      const splits = isLong || (failure.class === 'batch' && places.length > 1);
      if (!splits) throw toDependencyError(failure, error);
      const middle = places.length >> 1;
      await this.#split(places.slice(0, middle), take);
      await this.#split(places.slice(middle), take);
    }
  }

  /** Those of the rows that are stored, and whether with the same content. @throws as pg does */
  async ask(places: readonly number[]): Promise<Compared[]> {
    this.statements += 1;
    const rows = places.flatMap((place) => this.#rows[place] ?? []);
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
      const place = places[ord - 1];
      return place === undefined ? [] : [{ place, same }];
    });
  }
}
