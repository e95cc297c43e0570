import type pg from 'pg';
import type { Outcomes, Position } from '../core/types.ts';
import type { Canary } from './canary.ts';
import {
  BatchComparison,
  type Compared,
  type ComparisonOptions,
  statementTimeout,
} from './comparison.ts';
import {
  type DatabaseFailure,
  describeRefusal,
  readDatabaseFailure,
  toDependencyError,
} from './errors.ts';
import { encodePositions, hasSameValues, insertStatement } from './position-columns.ts';
import { writeReasonOf } from './refuser.ts';
import { readSkipFailure } from './skippers.ts';
import { groupByChunk, type KeyGroup } from './write-plan.ts';

export interface WritingOptions extends ComparisonOptions {
  /** Distinct chunks one statement may touch; each costs locks from a shared table. */
  readonly maxChunksPerStatement: number;
}

/** Out of memory: it may hit a single row by chance, so the row waits whatever the evidence. */
const outOfMemory = '53200';

/** Maximum number of consecutive refusals without a stored row before the canary runs again. */
const maxUnproven = 64;

type Insertion =
  | { readonly kind: 'done'; readonly present: ReadonlySet<number> }
  | { readonly kind: 'refused'; readonly failure: DatabaseFailure; readonly error: unknown };

/** A row that was refused as the only row of its statement. */
interface Refusal {
  readonly index: number;
  readonly failure: DatabaseFailure;
  readonly error: unknown;
  /** Refused both before and after a row was stored. */
  readonly isProven: boolean;
}

interface Tools {
  readonly client: pg.PoolClient;
  readonly canary: Canary;
  readonly options: WritingOptions;
}

/**
 * Writes one batch on one connection. Evidence decides the cause of a refusal: a row is rejected if
 * another row was stored before and after its refusal, or if it was refused before and after another
 * row was stored. Without such evidence the database's set-up is the cause, and all rows wait.
 */
export class BatchWriting {
  readonly #tools: Tools;
  readonly #rows: readonly Position[];
  readonly #outcomes: Outcomes;
  #refusals: Refusal[] = [];
  /** Refusals since a row was last stored. */
  #unproven = 0;
  #hasStored = false;
  readonly #comparison: BatchComparison;
  #statements = 0;

  constructor(tools: Tools, rows: readonly Position[], outcomes: Outcomes) {
    this.#tools = tools;
    this.#rows = rows;
    this.#outcomes = outcomes;
    this.#comparison = new BatchComparison(tools.client, rows, tools.options);
  }

  /** Number of statements sent so far. */
  get statements(): number {
    return this.#statements + this.#comparison.statements;
  }

  /**
   * Settles the batch if every row of it is already stored; otherwise settles nothing. A refused row
   * is judged by whether the server stores rows, and a comparison does not show that.
   * @throws DependencyError if the database is not available
   */
  async settleReplay(): Promise<void> {
    const { chunkIntervalMs, maxChunksPerStatement } = this.#tools.options;
    const indexes = this.#openIndexes();
    const chunks = groupByChunk(indexes, this.#rows, chunkIntervalMs);
    if (chunks.length > maxChunksPerStatement) return;
    const found: Compared[] = [];
    for (const chunk of chunks) {
      try {
        found.push(...(await this.#comparison.ask(chunk)));
      } catch (error) {
        const failure = readDatabaseFailure(error);
        if (!failure.mayBeRow && failure.code !== statementTimeout) {
          throw toDependencyError(failure, error);
        }
        return;
      }
    }
    if (found.length === indexes.length) this.#take(found);
  }

  /** Inserts one row per key; splits a refused statement down to single rows. */
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
    } else {
      await this.#noteRefusal(only, insertion);
    }
  }

  /**
   * Settles the rows refused so far: already stored, rejected, or left open for a retry.
   * @throws DependencyError if there is no evidence that the rows are the cause
   */
  async settleRefusals(): Promise<void> {
    const refusals = this.#refusals;
    if (refusals.length === 0) return;
    const comparable = refusals.filter(({ failure }) => mayBeStored(failure));
    // An equal row under the key makes a refused row a duplicate; a different one changes nothing.
    await this.#comparison.byChunk(
      comparable.map(({ index }) => index),
      (found) => this.#take(found.filter(({ same }) => same)),
    );
    const open = refusals.filter(({ index }) => this.#outcomes[index] === null);
    const unproven = open.find(({ isProven }) => !isProven);
    if (unproven !== undefined && this.#unproven > 0) await this.#prove(unproven);
    const waiting = open.find(({ failure }) => failure.code === outOfMemory);
    for (const { index, failure } of open) {
      if (failure.code !== outOfMemory) this.#reject(index, failure);
    }
    this.#refusals = [];
    if (waiting !== undefined) throw toDependencyError(waiting.failure, waiting.error);
  }

  /**
   * Rejects the rows that are still open: the database accepted them repeatedly and stored none.
   * @throws DependencyError if the database stores no row at all
   */
  async settleSkipped(): Promise<void> {
    const indexes = this.#openIndexes();
    const [first] = indexes;
    if (first === undefined) return;
    this.#statements += 1;
    const failure = await readSkipFailure(this.#tools.client);
    await this.#prove({ index: first, failure, error: undefined });
    for (const index of indexes) this.#reject(index, failure);
  }

  async #insert(groups: readonly KeyGroup[]): Promise<Insertion> {
    const rows = groups.map((group) => this.#row(group.first));
    this.#statements += 1;
    try {
      const result = await this.#tools.client.query<[number]>({
        text: insertStatement,
        values: encodePositions(rows),
        rowMode: 'array',
      });
      return { kind: 'done', present: new Set(result.rows.map(([ord]) => ord)) };
    } catch (error) {
      const failure = readDatabaseFailure(error);
      if (!failure.mayBeRow) throw toDependencyError(failure, error);
      return { kind: 'refused', failure, error };
    }
  }

  async #settle(groups: readonly KeyGroup[], present: ReadonlySet<number>): Promise<void> {
    const compared: number[] = [];
    groups.forEach((group, position) => {
      if (present.has(position + 1)) compared.push(group.first, ...group.others);
      else compared.push(...this.#settleInserted(group));
    });
    if (present.size < groups.length) this.#noteStored(groups, present);
    await this.#comparison.byChunk(compared, (found) => this.#take(found));
  }

  /** Records a stored row as evidence; rows that existed before are no evidence. */
  #noteStored(groups: readonly KeyGroup[], present: ReadonlySet<number>): void {
    this.#hasStored = true;
    this.#unproven = 0;
    const stored = groups.findLast((_, position) => !present.has(position + 1));
    if (stored !== undefined) this.#tools.canary.remember(this.#row(stored.first));
  }

  /** Settles the inserted row and its identical copies. @returns the copies to compare */
  #settleInserted({ first, others }: KeyGroup): number[] {
    this.#outcomes[first] = 'inserted';
    const inserted = this.#row(first);
    return others.filter((other) => {
      const same = hasSameValues(inserted, this.#row(other));
      if (same) this.#outcomes[other] = 'duplicate';
      return !same;
    });
  }

  /**
   * Records the refusal until there is evidence. If no row was stored yet, runs the canary and
   * retries the row once, so that a broken set-up ends the attempt after few statements. Then tries
   * the next row of the same key.
   */
  async #noteRefusal({ first, others }: KeyGroup, refused: Insertion & { kind: 'refused' }) {
    let { failure, error } = refused;
    const isProven = !this.#hasStored;
    if (isProven) {
      await this.#prove({ index: first, failure, error });
      const again = await this.#insert([{ first, others: [] }]);
      if (again.kind === 'done') return await this.#settle([{ first, others }], again.present);
      ({ failure, error } = again);
    } else {
      this.#unproven += 1;
    }
    this.#refusals.push({ index: first, failure, error, isProven });
    if (this.#unproven >= maxUnproven) await this.#prove({ index: first, failure, error });
    const [next, ...rest] = others;
    if (next !== undefined) await this.write([{ first: next, others: rest }]);
  }

  /** Runs the canary. @throws DependencyError if the database stores no row at present */
  async #prove({ index, failure, error }: Omit<Refusal, 'isProven'>): Promise<void> {
    const { canary, client } = this.#tools;
    const probe = await canary.probe(client, this.#row(index).deviceId);
    this.#statements += probe.statements;
    if (probe.isStored) {
      this.#hasStored = true;
      this.#unproven = 0;
    } else if (probe.failure === null) {
      throw toDependencyError(failure, error);
    } else {
      throw toDependencyError(probe.failure, probe.error);
    }
  }

  #reject(index: number, failure: DatabaseFailure): void {
    const reason = writeReasonOf(failure.code, failure.refuser);
    this.#outcomes[index] = { reason, message: describeRefusal(failure) };
  }

  #take(found: readonly Compared[]): void {
    for (const { index, same } of found) this.#outcomes[index] = same ? 'duplicate' : 'conflict';
  }

  #openIndexes(): number[] {
    return [...this.#rows.keys()].filter((index) => this.#outcomes[index] === null);
  }

  #row(index: number): Position {
    const row = this.#rows[index];
    if (row === undefined)
      throw new RangeError(`no row at ${index} in a batch of ${this.#rows.length}`);
    return row;
  }
}

/** Whether the row can be stored: a value that PostgreSQL cannot read was never stored. */
function mayBeStored({ code, refuser }: DatabaseFailure): boolean {
  return !code.startsWith('22') || refuser.function !== null;
}
