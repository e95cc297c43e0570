import type { ContractFault, DomainContract } from './contract.ts';
import type { DomainEvents } from './ports.ts';
import { type FailureReporting, reportFailures } from './reported-failures.ts';

/** What one look at the contract came to. */
export type ContractTurn =
  | {
      readonly ok: true;
      readonly contract: DomainContract;
      /** Whether this turn loaded it. */
      readonly isNew: boolean;
      readonly changed: number;
      readonly enqueued: number;
    }
  | { readonly ok: false; readonly faults: readonly ContractFault[] };

export interface ContractWatchParts extends FailureReporting {
  /** Checks, polls for edits and loads; never called while one is under way. */
  readonly turn: () => Promise<ContractTurn>;
  /** A contract was loaded, or ranges were queued: there may be work. */
  readonly onChange: () => void;
}

export interface ContractWatch {
  /** Null: broken, or not loaded yet. */
  current(): DomainContract | null;
  /** Takes one turn, after the one under way; never rejects. */
  reload(): Promise<void>;
}

/**
 * Keeps the contract loaded. A broken one is given up until it is as promised again; while the
 * database is not available the last one stays.
 */
export function createContractWatch(parts: ContractWatchParts): ContractWatch {
  const report = reportedFaults(parts.events);
  const attempt = reportFailures(take, parts);
  let last: Promise<void> = Promise.resolve();
  let current: DomainContract | null = null;

  async function take(): Promise<void> {
    const started = performance.now();
    const turn = await parts.turn();
    current = turn.ok ? turn.contract : null;
    report(turn.ok ? [] : turn.faults);
    if (!turn.ok) return;
    const { isNew, contract, changed, enqueued } = turn;
    if (changed > 0) parts.events.changed({ changed, enqueued });
    if (isNew) reportLoaded(parts.events, contract, performance.now() - started);
    if (isNew || enqueued > 0) parts.onChange();
  }

  return {
    current: () => current,
    reload() {
      last = last.then(attempt);
      return last;
    },
  };
}

/** Reports the first answer and each that differs. */
function reportedFaults(events: DomainEvents): (faults: readonly ContractFault[]) => void {
  let reported: string | null = null;
  return (faults) => {
    const text = JSON.stringify(faults);
    if (text !== reported) events.contract(faults);
    reported = text;
  };
}

function reportLoaded(events: DomainEvents, contract: DomainContract, durationMs: number): void {
  const { version, index, refused, refusedAssignments } = contract;
  events.loaded({ version, active: index.all.length, refused, refusedAssignments, durationMs });
}
