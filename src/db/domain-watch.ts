import type pg from 'pg';
import {
  ContractBrokenError,
  type ContractFault,
  type DomainContract,
  type TimingTable,
} from '../domain/contract.ts';
import { enqueueChanges, readFingerprint, readVersion } from './domain-changes.ts';
import { checkContract } from './domain-contract.ts';
import { type LoadOptions, loadContract } from './domain-load.ts';
import type { TimingOptions } from './domain-timing.ts';
import { asDependencyError } from './errors.ts';

export type WatchOptions = LoadOptions & TimingOptions;

export type WatchTurn =
  | {
      readonly ok: true;
      readonly contract: DomainContract;
      /** Of the last check: what works and costs. */
      readonly warnings: readonly ContractFault[];
      /** Whether this turn loaded the contract. */
      readonly isNew: boolean;
      readonly changed: number;
      readonly enqueued: number;
    }
  | { readonly ok: false; readonly faults: readonly ContractFault[] };

export interface ContractWatch {
  /**
   * One turn: checks the contract when due, polls the views, enqueues what changed, and loads the
   * contract when its version rose. Call it every DOMAIN_POLL_MS, and at once after a batch met a
   * newer `positions.domain_version`; never two turns at the same time. Needs a session outside of a
   * transaction.
   *
   * Without changes it costs three short queries. Each turn that finds the contract broken checks all
   * of it again at the next turn, so the domain continues within one turn after the fix.
   * @throws DependencyError if the database is not available: the contract of the last turn still holds
   */
  turn(client: pg.ClientBase): Promise<WatchTurn>;
}

/** How often the catalogue is compared with what is promised. */
const CHECK_EVERY_MS = 30_000;
/** How often the whole content is compared, for edits that the poll cannot see. */
const COMPARE_EVERY_MS = 300_000;

interface Held {
  readonly contract: DomainContract;
  readonly timing: TimingTable;
}

/** @param now epoch milliseconds; also decides what lies within the horizon */
export function contractWatch(options: WatchOptions, now: () => number = Date.now): ContractWatch {
  let held: Held | null = null;
  let checked: {
    readonly timing: TimingTable;
    readonly warnings: readonly ContractFault[];
  } | null = null;
  let checkedAt = -Infinity;
  let comparedAt = -Infinity;
  let fingerprint: string | null = null;

  function forget(): void {
    checked = null;
    fingerprint = null;
  }

  async function check(client: pg.ClientBase): Promise<readonly ContractFault[]> {
    if (checked !== null && now() - checkedAt < CHECK_EVERY_MS) return [];
    const result = await checkContract(client, options);
    if (!result.ok) return result.faults;
    checked = result;
    checkedAt = now();
    return [];
  }

  async function compare(client: pg.ClientBase): Promise<{ changed: number; enqueued: number }> {
    const current = await readFingerprint(client);
    const isDue = now() - comparedAt >= COMPARE_EVERY_MS;
    if (current === fingerprint && !isDue) return { changed: 0, enqueued: 0 };
    const startedAt = now();
    const { isBusy, changed, enqueued } = await enqueueChanges(
      client,
      options,
      new Date(startedAt),
    );
    // Another instance compares what it read before: what this one saw is compared at the next turn.
    if (!isBusy) {
      fingerprint = current;
      comparedAt = startedAt;
    }
    return { changed, enqueued };
  }

  /** Whether the contract is another than before. */
  async function load(client: pg.ClientBase, timing: TimingTable): Promise<Held> {
    const version = await readVersion(client);
    if (held?.contract.version === version && isSame(held.timing, timing)) return held;
    return { contract: await loadContract(client, timing, options, () => new Date(now())), timing };
  }

  async function turn(client: pg.ClientBase): Promise<WatchTurn> {
    const faults = await check(client);
    if (checked === null || faults.length > 0) {
      forget();
      return { ok: false, faults };
    }
    const { timing, warnings } = checked;
    const changes = await compare(client);
    const next = await load(client, timing);
    const isNew = next !== held;
    held = next;
    return { ok: true, contract: next.contract, warnings, isNew, ...changes };
  }

  return {
    async turn(client) {
      try {
        return await turn(client);
      } catch (error) {
        if (!(error instanceof ContractBrokenError)) throw asDependencyError(error);
        forget();
        return { ok: false, faults: error.faults };
      }
    },
  };
}

function isSame(one: TimingTable, other: TimingTable): boolean {
  return JSON.stringify(one) === JSON.stringify(other);
}
