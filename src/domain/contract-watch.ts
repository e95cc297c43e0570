import type { ContractFault, DomainContract } from './contract.ts';
import { createNap } from './nap.ts';
import type { DomainEvents } from './ports.ts';
import type { BatchErrorMeaning } from './worker-parts.ts';

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

export interface ContractWatchOptions {
  /** Between two turns. */
  readonly pollMs: number;
}

export interface ContractWatchParts {
  /** Checks, polls for edits and loads; never called while one is under way. */
  readonly turn: () => Promise<ContractTurn>;
  readonly events: DomainEvents;
  readonly meaningOf: (error: unknown) => BatchErrorMeaning;
  /** A contract was loaded, or ranges were queued: there may be work. */
  readonly onChange: () => void;
}

export interface ContractWatch {
  start(): void;
  stop(): Promise<void>;
  /** Null: broken, or not loaded yet. */
  current(): DomainContract | null;
  /** Another turn at once; never rejects. */
  reload(): Promise<void>;
}

/**
 * Keeps the contract loaded. A broken one is given up until it is as promised again; while the
 * database is not available the last one stays.
 */
export function createContractWatch(
  { pollMs }: ContractWatchOptions,
  parts: ContractWatchParts,
): ContractWatch {
  const nap = createNap();
  const report = reportedFaults(parts.events);
  let isStopped = false;
  let running: Promise<void> | null = null;
  let last: Promise<void> = Promise.resolve();
  let current: DomainContract | null = null;
  let failures = 0;

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

  async function attempt(): Promise<void> {
    try {
      await take();
      failures = 0;
    } catch (error) {
      failures += 1;
      const { kind, code } = parts.meaningOf(error);
      parts.events.failed({ kind, code, attempt: failures, devices: 0, error });
    }
  }

  function inTurn(): Promise<void> {
    last = last.then(attempt);
    return last;
  }

  async function run(): Promise<void> {
    while (!isStopped) {
      await inTurn();
      if (!isStopped) await nap.sleep(pollMs);
    }
  }

  return {
    start() {
      running ??= run();
    },
    async stop() {
      isStopped = true;
      nap.wake();
      await running;
    },
    current: () => current,
    reload: inTurn,
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
