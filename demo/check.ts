import type { Redis } from 'ioredis';
import { Client } from 'pg';
import type { Config } from '../src/config/load.ts';
import type { Outcome } from '../src/core/types.ts';
import {
  type CrossingCheck,
  checkCrossings,
  formatCrossings,
} from '../src/simulator/crossing-check.ts';
import type { ExpectedCrossings } from '../src/simulator/crossing-ledger.ts';
import { createCrossingSource } from '../src/simulator/crossing-source.ts';
import type { Ledger } from '../src/simulator/ledger.ts';
import {
  checkLedger,
  formatCheck,
  isClean,
  type LedgerCheck,
} from '../src/simulator/ledger-check.ts';
import { createLedgerSource } from '../src/simulator/ledger-source.ts';
import type { ServiceMetrics } from './metrics.ts';

export interface RunResult {
  readonly clean: boolean;
  /**
   * `crossings expected=… found=… missing=… extra=…` where the domain is on, and last
   * `sent=… inserted=… duplicate=… conflict=… dead_letter=… message=… missing=…`
   */
  readonly summary: readonly string[];
  readonly problems: readonly string[];
}

export interface StoppedRun {
  readonly config: Config;
  readonly redis: Redis;
  readonly ledger: Ledger;
  /** Null: the domain is off. */
  readonly crossings: ExpectedCrossings | null;
  /** The service's own account, before it stopped. */
  readonly metrics: ServiceMetrics;
  readonly ended: { readonly code: number | null; readonly signal: NodeJS.Signals | null };
}

const CONNECT_TIMEOUT_MS = 5_000;
const QUERY_TIMEOUT_MS = 60_000;

/** Compares the ledger with the table, the dead letters, the metrics and the exit code. */
export async function checkRun(run: StoppedRun): Promise<RunResult> {
  const { check, crossings } = await checkStored(run);
  const problems = [
    ...check.problems,
    ...(crossings?.problems ?? []),
    ...metricProblems(check, run.metrics, run.ledger),
    ...(run.ended.code === 0
      ? []
      : [`the service ended with ${run.ended.code ?? run.ended.signal}, not with 0`]),
  ];
  const clean = isClean(check) && problems.length === 0;
  const summary = [...(crossings === null ? [] : [formatCrossings(crossings)]), formatCheck(check)];
  return { clean, summary, problems };
}

interface Checks {
  readonly check: LedgerCheck;
  readonly crossings: CrossingCheck | null;
}

async function checkStored(run: StoppedRun): Promise<Checks> {
  const { config, redis, ledger } = run;
  const database = new Client({
    connectionString: config.database.url,
    application_name: 'processor:demo',
    connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
    query_timeout: QUERY_TIMEOUT_MS,
  });
  // A connection that breaks also rejects the query; unheard, the event would end the process.
  database.on('error', () => {});
  try {
    await database.connect();
    const [{ deadLetterKey }] = config.streams;
    const source = createLedgerSource({ database, redis, deadLetterKey, deadLettersAfter: null });
    const check = await checkLedger(ledger, source);
    if (run.crossings === null) return { check, crossings: null };
    const records = createCrossingSource(database, config.domain.timingTable);
    const devices = [...ledger.devices.keys()];
    return { check, crossings: await checkCrossings(run.crossings, devices, records) };
  } finally {
    // The result or the error above counts, not how the connection ended.
    await database.end().catch(() => {});
  }
}

/** Where the service's own counters say something else than what was found. */
export function metricProblems(
  check: LedgerCheck,
  { records, entriesRead }: ServiceMetrics,
  { totals }: Pick<Ledger, 'totals'>,
): string[] {
  const found: Readonly<Record<Outcome, number>> = {
    inserted: check.inserted,
    duplicate: check.duplicate,
    conflict: check.conflict,
    dead_letter: check.deadLetter,
    message: check.message,
    lost: 0,
  };
  const problems: string[] = [];
  for (const [outcome, count] of Object.entries(records)) {
    const expected = Object.entries(found).find(([name]) => name === outcome)?.[1];
    if (count !== expected) {
      problems.push(`metrics: the service counted ${count} ${outcome}, the check ${expected}`);
    }
  }
  if (entriesRead !== totals.entries) {
    problems.push(`metrics: the service read ${entriesRead} entries of ${totals.entries}`);
  }
  return problems;
}
