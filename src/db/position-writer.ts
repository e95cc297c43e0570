import type pg from 'pg';
import { DependencyError, type Outcomes, type Position } from '../core/types.ts';
import {
  type DatabaseFailure,
  readDatabaseFailure,
  toDependencyError,
  writeReasonOf,
} from './errors.ts';
import type { Database } from './pool.ts';
import {
  compareCompressedStatement,
  compareStatement,
  encodeComparison,
  encodeCompressedComparison,
  encodePositions,
  insertStatement,
} from './position-columns.ts';
import { groupByChunk, groupByKey, type KeyGroup, splitByChunks } from './write-plan.ts';

export interface PositionWriterOptions {
  readonly chunkIntervalMs: number;
  /** Distinct chunks one statement may touch; each costs locks from a shared table. */
  readonly maxChunksPerStatement: number;
  /** Whether the chunk of a time may be compressed; without it none is. */
  readonly mayBeCompressed?: (ts: number) => boolean;
}

export interface PositionWriter {
  /**
   * Writes the rows whose outcome is still null and fills `outcomes` in, row by row as they
   * become durable; so a call that failed half way is repeated with the same `outcomes`.
   * A row at fault is found by bisection and never takes its neighbours along: at most
   * 2n - 1 inserts for n rows, about 2 log2(n) for one bad row.
   * @returns the number of statements sent
   * @throws DependencyError when the database cannot be asked or is not set up
   */
  write(rows: readonly Position[], outcomes: Outcomes): Promise<number>;
}

/** Also what a cancelled statement ends with. */
const statementTimeout = '57014';

/** A comparison of fewer rows that is not finished in time is the server's trouble, not its size's. */
const leastToSplit = 100;

/**
 * Rows that fail alone with an error that may also be the server's, before the rest is left for
 * the next attempt: a server that is out of memory would be asked twice for every row.
 */
const mostLone = 8;

/** Out of memory: a lone row may meet it by chance, so it waits whatever becomes of the others. */
const outOfMemory = '53200';

/** Passes over a batch whose rows vanish between insert and comparison before giving up. */
const maxPasses = 3;

export function createPositionWriter(
  database: Database,
  options: PositionWriterOptions,
): PositionWriter {
  let isReplay = false;
  return {
    write: (rows, outcomes) =>
      database.use(async (client) => {
        const writing = new BatchWriting(client, rows, outcomes, options);
        if (isReplay) await writing.settleReplay();
        for (let pass = 0; pass < maxPasses && outcomes.includes(null); pass += 1) {
          const groups = groupByKey(rows, outcomes);
          for (const part of splitByChunks(groups, rows, options)) await writing.write(part);
          await writing.settleLone();
        }
        if (outcomes.includes(null)) throw rowsVanished();
        isReplay = isAllStored(outcomes);
        return writing.statements;
      }),
  };
}

/**
 * After such a batch the next is compared before it is inserted: a stream that is read again, or
 * a fleet that resends a day, then costs one statement a batch and no attempt to insert.
 */
function isAllStored(outcomes: Outcomes): boolean {
  return (
    outcomes.length > 0 &&
    outcomes.every((outcome) => outcome === 'duplicate' || outcome === 'conflict')
  );
}

/** Rows that neither insert nor are there: something deletes them as they arrive. */
function rowsVanished(): DependencyError {
  const message =
    'rows under conflict keep vanishing: is retention dropping the chunks written to?';
  return new DependencyError('database', 'unavailable', 'ROWS_VANISHED', message);
}

type Insertion =
  | { readonly kind: 'done'; readonly present: ReadonlySet<number> }
  | { readonly kind: 'failed'; readonly failure: DatabaseFailure; readonly error: unknown };

/** What a row's key holds already. */
interface Comparison {
  /** Of the row in its batch. */
  readonly place: number;
  readonly same: boolean;
}

/** A row that failed alone, with an error that may be the server's own. */
interface LoneFailure {
  readonly group: KeyGroup;
  readonly failure: DatabaseFailure;
  readonly error: unknown;
}

/** The writing of one batch on one connection. */
class BatchWriting {
  readonly #client: pg.PoolClient;
  readonly #rows: readonly Position[];
  readonly #outcomes: Outcomes;
  readonly #options: PositionWriterOptions;
  #lone: LoneFailure[] = [];
  #hasSettled = false;
  statements = 0;

  constructor(
    client: pg.PoolClient,
    rows: readonly Position[],
    outcomes: Outcomes,
    options: PositionWriterOptions,
  ) {
    this.#client = client;
    this.#rows = rows;
    this.#outcomes = outcomes;
    this.#options = options;
  }

  /**
   * Settles the batch when every row of it is stored already. Otherwise nothing: that a server
   * compares does not show that it stores, which is what a row that fails alone is judged by.
   * @throws DependencyError when the database cannot be asked
   */
  async settleReplay(): Promise<void> {
    const { chunkIntervalMs, maxChunksPerStatement } = this.#options;
    const places = [...this.#rows.keys()].filter((place) => this.#outcomes[place] === null);
    const chunks = groupByChunk(places, this.#rows, chunkIntervalMs);
    if (chunks.length > maxChunksPerStatement) return;
    const found: Comparison[] = [];
    for (const chunk of chunks) {
      try {
        found.push(...(await this.#ask(chunk)));
      } catch (error) {
        const failure = readDatabaseFailure(error);
        const isOfRows = failure.class === 'row' || failure.class === 'batch';
        if (!isOfRows && failure.code !== statementTimeout) throw toDependencyError(failure, error);
        return;
      }
    }
    if (found.length === places.length) this.#take(found);
  }

  /** Inserts one row a key; what fails because of a row is split until it stands alone. */
  async write(groups: readonly KeyGroup[]): Promise<void> {
    const [only, ...more] = groups;
    if (only === undefined) return;
    const insertion = await this.#insert(groups);
    if (insertion.kind === 'done') {
      await this.#settle(groups, insertion.present);
    } else if (more.length > 0) {
      const middle = groups.length >> 1;
      await this.write(groups.slice(0, middle));
      await this.write(groups.slice(middle));
    } else if (insertion.failure.class === 'row') {
      await this.#reject(only, insertion.failure);
    } else {
      const { failure, error } = insertion;
      this.#lone.push({ group: only, failure, error });
      if (this.#lone.length >= mostLone && !this.#hasSettled) {
        throw toDependencyError(failure, error);
      }
    }
  }

  /**
   * What becomes of rows that failed alone: rejected when others of the batch were stored, so that
   * one row cannot stop an instance; else it is the server that fails, and they are tried again.
   * @throws DependencyError
   */
  async settleLone(): Promise<void> {
    const lone = this.#lone;
    this.#lone = [];
    const waits = lone.find(({ failure }) => !this.#hasSettled || failure.code === outOfMemory);
    for (const { group, failure } of lone) {
      if (this.#hasSettled && failure.code !== outOfMemory) await this.#reject(group, failure);
    }
    if (waits !== undefined) throw toDependencyError(waits.failure, waits.error);
  }

  async #insert(groups: readonly KeyGroup[]): Promise<Insertion> {
    const rows = groups.map((group) => this.#row(group.first));
    this.statements += 1;
    try {
      const result = await this.#client.query<[number]>({
        text: insertStatement,
        values: encodePositions(rows),
        rowMode: 'array',
      });
      return { kind: 'done', present: new Set(result.rows.map(([ord]) => ord)) };
    } catch (error) {
      const failure = readDatabaseFailure(error);
      const splits = failure.class === 'row' || failure.class === 'batch';
      if (!splits) throw toDependencyError(failure, error);
      return { kind: 'failed', failure, error };
    }
  }

  async #settle(groups: readonly KeyGroup[], present: ReadonlySet<number>): Promise<void> {
    this.#hasSettled = true;
    const compared: number[] = [];
    groups.forEach((group, index) => {
      if (present.has(index + 1)) compared.push(group.first, ...group.others);
      else compared.push(...this.#settleInserted(group));
    });
    // A chunk at a time: over all of them the bounds on ts would be as wide as the latest record is
    // late, and everything between would be read.
    for (const places of groupByChunk(compared, this.#rows, this.#options.chunkIntervalMs)) {
      await this.#compare(places);
    }
  }

  /** Settles the row that was inserted and its identical copies; returns those to compare. */
  #settleInserted({ first, others }: KeyGroup): number[] {
    this.#outcomes[first] = 'inserted';
    const inserted = this.#row(first);
    return others.filter((other) => {
      const same = hasSameText(inserted, this.#row(other));
      if (same) this.#outcomes[other] = 'duplicate';
      return !same;
    });
  }

  /** Settles the row at fault; the next of its key gets its own try. */
  async #reject({ first, others }: KeyGroup, failure: DatabaseFailure): Promise<void> {
    const by = failure.constraint === null ? '' : ` by ${failure.constraint}`;
    this.#outcomes[first] = {
      reason: writeReasonOf(failure.code),
      message: `refused by the database: ${failure.code}${by}`,
    };
    const [next, ...rest] = others;
    if (next !== undefined) await this.write([{ first: next, others: rest }]);
  }

  /**
   * Settles rows whose key is stored already: same content, or another version. What the server
   * does not finish in time is asked in halves: tried again whole, it would never end.
   */
  async #compare(places: readonly number[]): Promise<void> {
    if (places.length === 0) return;
    try {
      this.#take(await this.#ask(places));
    } catch (error) {
      const failure = readDatabaseFailure(error);
      const isLong = failure.code === statementTimeout && places.length >= leastToSplit;
      const splits = isLong || (failure.class === 'batch' && places.length > 1);
      if (!splits) throw toDependencyError(failure, error);
      const middle = places.length >> 1;
      await this.#compare(places.slice(0, middle));
      await this.#compare(places.slice(middle));
    }
  }

  /** Those of the rows that are stored, and whether with the same content. */
  async #ask(places: readonly number[]): Promise<Comparison[]> {
    this.statements += 1;
    const rows = places.map((place) => this.#row(place));
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

  #take(found: readonly Comparison[]): void {
    for (const { place, same } of found) this.#outcomes[place] = same ? 'duplicate' : 'conflict';
  }

  #row(place: number): Position {
    const row = this.#rows[place];
    if (row === undefined)
      throw new RangeError(`no row at ${place} in a batch of ${this.#rows.length}`);
    return row;
  }
}

/** Equal to the letter; what is not is left to the database's own comparison. */
function hasSameText(a: Position, b: Position): boolean {
  return (
    a.latitude === b.latitude &&
    a.longitude === b.longitude &&
    a.altitude === b.altitude &&
    a.angle === b.angle &&
    a.speed === b.speed &&
    a.satellites === b.satellites &&
    a.priority === b.priority &&
    a.fix === b.fix &&
    a.eventIoId === b.eventIoId &&
    a.generationType === b.generationType &&
    a.attributes === b.attributes
  );
}
