import { type Account, type Outcome, outcomes } from './types.ts';

/**
 * Counts the records that were read and their outcomes.
 * @param onSettled called for every settlement, for the counter of records
 */
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
