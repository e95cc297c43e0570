import { setTimeout } from 'node:timers/promises';
import type { Config } from '../config/load.ts';
import { DependencyError, type Logger, type Service } from '../core/types.ts';
import { createDomainStore } from '../db/domain-store.ts';
import { hasDomainTrigger } from '../db/domain-switch.ts';
import { contractWatch } from '../db/domain-watch.ts';
import { readDatabaseFailure } from '../db/errors.ts';
import { type Database, openDatabase } from '../db/pool.ts';
import type { ContractFault } from '../domain/contract.ts';
import { type ContractTurn, createContractWatch } from '../domain/contract-watch.ts';
import { createQueueWatch } from '../domain/queue-watch.ts';
import { createWorker } from '../domain/worker.ts';
import type { BatchErrorMeaning, WorkerOptions } from '../domain/worker-parts.ts';
import { repeat } from '../lifecycle/repeat.ts';
import { createDomainEvents } from '../observability/domain-events.ts';
import type { Metrics } from '../observability/metrics.ts';
import { retryBackoff } from './guard-parts.ts';

/** One for the batch, one for the contract, one for the samples of the outbox. */
const poolSize = 3;
/** Commits of other instances are found by looking at the outbox, twice a second. */
const idleMs = 500;
const sampleMs = 5000;
const countMs = 60_000;
const parkAfter = 5;
/** Positions that a transaction reads at most: memory, and the time for which devices are locked. */
const limits = { rangeRows: 5000, layerRows: 50_000, layers: 8, extensionRows: 50_000 };
/** Longest wait for the running batch and for busy connections; a batch that is cut off rolls back. */
const stopGraceMs = 2000;
const poolGraceMs = 1000;

export interface DomainOptions {
  readonly config: Config;
  readonly metrics: Metrics;
  readonly log: Logger;
  /** Whether ingestion waits for its database. */
  readonly isIngestionFailing: () => boolean;
}

/** The loops of the domain and their connections. Nothing of it decides about readiness. */
export interface DomainParts extends Service {
  /** There may be work: a batch inserted rows. */
  wake(): void;
  /** Takes no further batch; `stop` waits for the running one. */
  quiesce(): void;
}

/** Builds the domain; nothing connects yet. */
export function buildDomainParts({
  config,
  metrics,
  log,
  isIngestionFailing,
}: DomainOptions): DomainParts {
  const { domain } = config;
  const events = createDomainEvents(metrics, log);
  const database = buildDomainDatabase(config, log);
  const store = createDomainStore(database, domain);
  const contract = createContractWatch({
    turn: contractTurns(config, database),
    events,
    meaningOf,
    onChange: () => worker.wake(),
  });
  const worker = createWorker(workerOptions(config), {
    store,
    events,
    contract: contract.current,
    reload: contract.reload,
    meaningOf,
    isIngestionFailing,
  });
  const watchQueue = createQueueWatch({ countMs, ...domain }, { store, events, meaningOf });
  let repeated: readonly (() => Promise<void>)[] = [];
  let stopping: Promise<unknown> | null = null;
  const stopLoops = () => {
    stopping ??= Promise.all([worker.stop(), ...repeated.map((end) => end())]);
    return stopping;
  };
  return {
    name: 'domain',
    wake: worker.wake,
    start() {
      if (stopping === null && repeated.length === 0) {
        repeated = [repeat(contract.reload, domain.pollMs), repeat(watchQueue, sampleMs)];
        worker.start();
      }
      return Promise.resolve();
    },
    quiesce: () => void stopLoops(),
    async stop() {
      await Promise.race([stopLoops(), setTimeout(stopGraceMs, undefined, { ref: false })]);
      await database.close(poolGraceMs);
    },
  };
}

function buildDomainDatabase({ database, domain, service }: Config, log: Logger): Database {
  return openDatabase(
    {
      ...database,
      url: domain.url,
      applicationName: `processor:${service.instance}:domain`,
      size: poolSize,
      deadlineMs: database.insertDeadlineMs,
      needsPrimary: true,
    },
    log,
  );
}

function workerOptions({ domain, database, deviceState }: Config): WorkerOptions {
  return {
    maxHopMs: domain.maxHopMs,
    maxSilenceMs: deviceState.rehydrateHorizonMs,
    retentionMs: database.retentionMs,
    recomputeHorizonMs: domain.recomputeHorizonMs,
    batchDevices: domain.batchDevices,
    limits,
    idleMs,
    backoff: retryBackoff,
    parkAfter,
  };
}

/** A turn also looks at the trigger: without it no position reaches the outbox. */
function contractTurns({ domain }: Config, database: Database): () => Promise<ContractTurn> {
  const watch = contractWatch(domain);
  return () =>
    database.use(async (client) => {
      if (!(await hasDomainTrigger(client))) return { ok: false, faults: [missingTrigger] };
      return await watch.turn(client);
    });
}

const missingTrigger: ContractFault = {
  object: 'public.positions.note_outbox',
  problem: 'the trigger is missing or disabled, so no position is noted for the domain',
  advice: 'run processor migrate with DOMAIN=on, as the role that migrates',
};

/** A geofence or device that was deleted after the contract was loaded. */
const foreignKeyViolation = '23503';
const queryCancelled = '57014';

/** What an error of a batch means. */
export function meaningOf(error: unknown): BatchErrorMeaning {
  if (error instanceof DependencyError) {
    return { kind: error.kind, code: error.code, isTimeout: error.code === queryCancelled };
  }
  const failure = readFailure(error);
  if (failure === null) {
    const code = error instanceof Error ? error.name : 'UNKNOWN';
    return { kind: 'data', code, isTimeout: false };
  }
  const { class: kind, code } = failure;
  if (code === foreignKeyViolation) return { kind: 'reload', code, isTimeout: false };
  const isOfRows = kind === 'row' || kind === 'batch';
  return { kind: isOfRows ? 'data' : kind, code, isTimeout: code === queryCancelled };
}

/** Null: no failure of the database, but of the computation. */
function readFailure(error: unknown) {
  try {
    return readDatabaseFailure(error);
  } catch {
    return null;
  }
}
