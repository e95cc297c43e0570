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

/** Out of memory: a single row may meet it by chance, so it waits whatever the evidence. */
const outOfMemory = '53200';

/** Refusals in a row without a stored row between them, before the canary is asked again. */
const maxUnproven = 64;

type Insertion =
  | { readonly kind: 'done'; readonly present: ReadonlySet<number> }
  | { readonly kind: 'refused'; readonly failure: DatabaseFailure; readonly error: unknown };

/** A row that was refused with no other row in its statement. */
interface Refusal {
  readonly place: number;
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
 * The writing of one batch on one connection. Whose fault a refusal is, is decided by evidence: a
 * row is rejected when some row was stored before and after its refusal, or when it was refused
 * before and after some row was stored. Without either it is the set-up's fault, and all wait.
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

  /** Sent so far. */
  get statements(): number {
    return this.#statements + this.#comparison.statements;
  }

  /**
   * Settles the batch when every row of it is stored already. Otherwise nothing: that a server
   * compares does not show that it stores, which is what a refused row is judged by.
   * @throws DependencyError when the database cannot be asked
   */
  async settleReplay(): Promise<void> {
    const { chunkIntervalMs, maxChunksPerStatement } = this.#tools.options;
    const places = this.#openPlaces();
    const chunks = groupByChunk(places, this.#rows, chunkIntervalMs);
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
    if (found.length === places.length) this.#take(found);
  }

  /** Inserts one row a key; a refused statement is split until the row stands alone. */
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
   * Settles the rows refused so far: stored already, rejected, or left open to be retried.
   * @throws DependencyError when there is no evidence that it is the rows' fault
   */
  async settleRefusals(): Promise<void> {
    const refusals = this.#refusals;
    if (refusals.length === 0) return;
    const comparable = refusals.filter(({ failure }) => mayBeStored(failure));
    // Another version under the key leaves the refusal what it is; an equal one makes it a duplicate.
    await this.#comparison.byChunk(
      comparable.map(({ place }) => place),
      (found) => this.#take(found.filter(({ same }) => same)),
    );
    const open = refusals.filter(({ place }) => this.#outcomes[place] === null);
    const unproven = open.find(({ isProven }) => !isProven);
    if (unproven !== undefined && this.#unproven > 0) await this.#prove(unproven);
    const waiting = open.find(({ failure }) => failure.code === outOfMemory);
    for (const { place, failure } of open) {
      if (failure.code !== outOfMemory) this.#reject(place, failure);
    }
    this.#refusals = [];
    if (waiting !== undefined) throw toDependencyError(waiting.failure, waiting.error);
  }

  /**
   * Rejects the rows that are still open: accepted by the database, pass after pass, and not there.
   * @throws DependencyError when no row at all is stored
   */
  async settleSkipped(): Promise<void> {
    const places = this.#openPlaces();
    const [first] = places;
    if (first === undefined) return;
    this.#statements += 1;
    const failure = await readSkipFailure(this.#tools.client);
    await this.#prove({ place: first, failure, error: undefined });
    for (const place of places) this.#reject(place, failure);
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
    groups.forEach((group, index) => {
      if (present.has(index + 1)) compared.push(group.first, ...group.others);
      else compared.push(...this.#settleInserted(group));
    });
    if (present.size < groups.length) this.#noteStored(groups, present);
    await this.#comparison.byChunk(compared, (found) => this.#take(found));
  }

  /** That a row was stored is evidence; that all were there already is none. */
  #noteStored(groups: readonly KeyGroup[], present: ReadonlySet<number>): void {
    this.#hasStored = true;
    this.#unproven = 0;
    const stored = groups.findLast((_, index) => !present.has(index + 1));
    if (stored !== undefined) this.#tools.canary.remember(this.#row(stored.first));
  }

  /** Settles the row that was inserted and its identical copies; returns those to compare. */
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
   * Keeps the refusal until there is evidence. Before any row was stored the canary is asked and
   * the row tried once more, so that a broken set-up ends the attempt after few statements. The
   * next row of its key gets its own try.
   */
  async #noteRefusal({ first, others }: KeyGroup, refused: Insertion & { kind: 'refused' }) {
    let { failure, error } = refused;
    const isProven = !this.#hasStored;
    if (isProven) {
      await this.#prove({ place: first, failure, error });
      const again = await this.#insert([{ first, others: [] }]);
      if (again.kind === 'done') return await this.#settle([{ first, others }], again.present);
      ({ failure, error } = again);
    } else {
      this.#unproven += 1;
    }
    this.#refusals.push({ place: first, failure, error, isProven });
    if (this.#unproven >= maxUnproven) await this.#prove({ place: first, failure, error });
    const [next, ...rest] = others;
    if (next !== undefined) await this.write([{ first: next, others: rest }]);
  }

  /** Asks the canary. @throws DependencyError when nothing is stored at present */
  async #prove({ place, failure, error }: Omit<Refusal, 'isProven'>): Promise<void> {
    const { canary, client } = this.#tools;
    const probe = await canary.probe(client, this.#row(place).deviceId);
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

  #reject(place: number, failure: DatabaseFailure): void {
    const reason = writeReasonOf(failure.code, failure.refuser);
    this.#outcomes[place] = { reason, message: describeRefusal(failure) };
  }

  #take(found: readonly Compared[]): void {
    for (const { place, same } of found) this.#outcomes[place] = same ? 'duplicate' : 'conflict';
  }

  #openPlaces(): number[] {
    return [...this.#rows.keys()].filter((place) => this.#outcomes[place] === null);
  }

  #row(place: number): Position {
    const row = this.#rows[place];
    if (row === undefined)
      throw new RangeError(`no row at ${place} in a batch of ${this.#rows.length}`);
    return row;
  }
}

/** A value that PostgreSQL cannot read or compute was never stored, and cannot be compared. */
function mayBeStored({ code, refuser }: DatabaseFailure): boolean {
  return !code.startsWith('22') || refuser.function !== null;
}
