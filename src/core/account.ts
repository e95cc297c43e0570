import { type Outcome, outcomes } from './types.ts';

/** Records read and what became of them, in one instance, since it started. */
export interface AccountTotals {
  readonly read: number;
  readonly settled: Readonly<Record<Outcome, number>>;
}

export interface Account {
  read(records: number): void;
  settle(outcome: Outcome, records: number): void;
  totals(): AccountTotals;
  /**
   * read - settled - in flight. `inFlight` is counted elsewhere, from the entries still held,
   * so that anything but 0 means a record was dropped or counted twice.
   */
  residual(inFlight: number): number;
}

/** @param onSettled told of every settlement, for the counter of records */
export function createAccount(onSettled: (outcome: Outcome, records: number) => void): Account {
  let read = 0;
  const settled = { inserted: 0, duplicate: 0, conflict: 0, dead_letter: 0, message: 0, lost: 0 };
  return {
    read(records) {
      read += records;
    },
    settle(outcome, records) {
      settled[outcome] += records;
      if (records > 0) onSettled(outcome, records);
    },
    totals: () => ({ read, settled: { ...settled } }),
    residual(inFlight) {
      return outcomes.reduce((rest, outcome) => rest - settled[outcome], read) - inFlight;
    },
  };
}
