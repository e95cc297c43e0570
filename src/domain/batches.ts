import { setImmediate } from 'node:timers/promises';
import { backoffMs } from '../core/backoff.ts';
import type { DeviceId } from '../core/types.ts';
import { type BatchResult, computeBatch } from './batch.ts';
import type { DomainContract } from './contract.ts';
import { createFailingDevices } from './failing-devices.ts';
import type { BatchReport, DomainTransaction, Taken, TakeRequest } from './ports.ts';
import { type StageMs, timedTransaction } from './timed-transaction.ts';
import type { BatchErrorMeaning, WorkerOptions, WorkerParts } from './worker-parts.ts';

/** What one attempt came to. */
export interface Attempt {
  readonly outcome: 'worked' | 'idle' | 'paused' | 'outdated' | 'failed';
  /** Before the next one; 0: there may be more to do. */
  readonly pauseMs: number;
}

export interface Batches {
  next(contract: DomainContract): Promise<Attempt>;
}

/** Rows that a batch takes: more where devices have several. */
const MAX_ROWS_PER_DEVICE = 10;
/** Of computing without a break: the rest of the process waits for it. */
const SLICE_MS = 5;
const MAX_FAILING = 2000;
const failingBackoff = { minMs: 500, maxMs: 60_000 };
/** Failures in a row after which a timeout is taken for a batch that is too large. */
const TIMEOUTS = 3;
/** Reloads in a row after which a missing geofence is the fault of the rows. */
const RELOADS = 3;
const RELOAD_PAUSE_MS = 200;

/** One batch while it runs. */
interface Running {
  readonly started: number;
  readonly stageMs: StageMs;
  taken: Taken;
  takenAt: number;
  outcome: Exclude<Attempt['outcome'], 'failed'>;
  result: BatchResult | null;
  mismatches: number;
}

/** Runs batches one by one and decides after each what comes next. Nothing here throws. */
export function createBatches(
  options: WorkerOptions,
  parts: WorkerParts,
  signal: AbortSignal,
): Batches {
  const failing = createFailingDevices({ backoff: failingBackoff, maxDevices: MAX_FAILING });
  const { batchDevices } = options;
  let rowsPerDevice = 1;
  let failures = 0;
  let reloads = 0;

  function requestFor(only: DeviceId | null): TakeRequest {
    return only === null
      ? {
          maxRows: batchDevices * rowsPerDevice,
          maxDevices: batchDevices,
          only,
          excluded: failing.list(),
        }
      : { maxRows: batchDevices * MAX_ROWS_PER_DEVICE, maxDevices: 1, only, excluded: [] };
  }

  async function run(contract: DomainContract, request: TakeRequest, batch: Running) {
    let written = performance.now();
    await parts.store.transaction(contract.timing, async (plain) => {
      const tx = timedTransaction(plain, batch.stageMs, signal);
      batch.taken = await tx.take(request);
      batch.takenAt = performance.now();
      if (batch.taken.ranges.length === 0) return false;
      const { version, isPaused, nowMs } = await tx.ground();
      batch.outcome = isPaused ? 'paused' : version === contract.version ? 'worked' : 'outdated';
      if (batch.outcome !== 'worked') return false;
      const surroundings = { tx, contract, options, nowMs, pause: slices(signal) };
      batch.result = await computeBatch(batch.taken.ranges, surroundings);
      batch.mismatches = await countMismatches(tx, batch.result);
      written = performance.now();
      return true;
    });
    if (batch.result !== null) batch.stageMs.write += performance.now() - written;
  }

  function succeeded(batch: Running, result: BatchResult): void {
    if (failures > 0) parts.events.recovered();
    [failures, reloads] = [0, 0];
    const devices = devicesOf(batch.taken);
    failing.succeeded(devices);
    const perDevice = Math.ceil(batch.taken.ranges.length / devices.length);
    rowsPerDevice = Math.min(MAX_ROWS_PER_DEVICE, Math.max(1, perDevice));
    parts.events.batch(reportOf(batch, result));
  }

  async function reload(): Promise<Attempt> {
    await parts.reload();
    return { outcome: 'outdated', pauseMs: RELOAD_PAUSE_MS };
  }

  async function concluded(batch: Running, only: DeviceId | null): Promise<Attempt> {
    const { outcome, result } = batch;
    if (outcome === 'worked' && result !== null) succeeded(batch, result);
    if (outcome === 'outdated') return await reload();
    if (outcome === 'worked') return { outcome, pauseMs: 0 };
    // Nothing is left of a device that failed: another worker was luckier.
    if (only !== null && batch.taken.busy === 0 && outcome === 'idle') failing.remove(only);
    return { outcome, pauseMs: options.idleMs };
  }

  function report(error: unknown, { kind, code }: BatchErrorMeaning, devices: number): void {
    failures += 1;
    parts.events.failed({ kind, code, attempt: failures, devices, error });
  }

  async function failed(error: unknown, batch: Running, only: DeviceId | null): Promise<Attempt> {
    const meaning = parts.meaningOf(error);
    const devices = devicesOf(batch.taken);
    report(error, meaning, devices.length);
    const later = { outcome: 'failed', pauseMs: backoffMs(failures, options.backoff) } as const;
    if (meaning.kind === 'reload' && reloads < RELOADS) {
      reloads += 1;
      return await reload();
    }
    const isTimeout = meaning.isTimeout && failures >= TIMEOUTS;
    const isOfDevices = meaning.kind === 'data' || meaning.kind === 'reload' || isTimeout;
    if (!isOfDevices || devices.length === 0) return later;
    const at = { outcome: 'failed', pauseMs: 0 } as const;
    if (only === null) return failing.suspect(devices, Date.now()) ? at : later;
    await blame(only, error, meaning, !isTimeout);
    return at;
  }

  async function blame(
    device: DeviceId,
    error: unknown,
    { code }: BatchErrorMeaning,
    isOwnFault: boolean,
  ): Promise<void> {
    const attempts = failing.failed(device, Date.now(), isOwnFault);
    if (attempts < options.parkAfter) return;
    if (!(await parts.store.park(device, attempts, describe(error, code)))) return;
    failing.remove(device);
    parts.events.parked(device, attempts, code);
  }

  async function attempt(contract: DomainContract): Promise<Attempt> {
    const only = failing.next(Date.now());
    const batch = startBatch();
    try {
      await run(contract, requestFor(only), batch);
    } catch (error) {
      if (signal.aborted) return { outcome: 'idle', pauseMs: 0 };
      return await failed(error, batch, only);
    }
    return await concluded(batch, only);
  }

  return {
    async next(contract) {
      try {
        return await attempt(contract);
      } catch (error) {
        report(error, parts.meaningOf(error), 0);
        return { outcome: 'failed', pauseMs: backoffMs(failures, options.backoff) };
      }
    },
  };
}

function startBatch(): Running {
  return {
    started: performance.now(),
    stageMs: { take: 0, read: 0, compute: 0, write: 0 },
    taken: { ranges: [], busy: 0 },
    takenAt: performance.now(),
    outcome: 'idle',
    result: null,
    mismatches: 0,
  };
}

function devicesOf({ ranges }: Taken): DeviceId[] {
  return [...new Set(ranges.map(({ device }) => device))];
}

/** A contradiction is expected while a range of the device waits, which includes what was put back. */
async function countMismatches(tx: DomainTransaction, result: BatchResult): Promise<number> {
  const { contradicted } = result;
  if (contradicted.length === 0) return 0;
  const queued = await tx.queued(contradicted);
  return contradicted.filter((device) => !queued.has(device)).length;
}

/** Lets the event loop run after each slice of computing. @throws when the signal aborts */
function slices(signal: AbortSignal): () => Promise<void> | undefined {
  let since = performance.now();
  return () => {
    if (performance.now() - since < SLICE_MS) return undefined;
    return setImmediate(undefined, { signal }).then(() => {
      since = performance.now();
    });
  };
}

function reportOf(batch: Running, result: BatchResult): BatchReport {
  const { taken, stageMs, mismatches } = batch;
  const now = performance.now();
  const known = stageMs.take + stageMs.read + stageMs.write;
  return {
    rows: taken.ranges.length,
    devices: result.devices.length,
    windows: result.windows,
    fixes: result.fixes,
    records: {
      inserted: result.inserted,
      superseded: result.superseded,
      revived: result.revived,
      unchanged: result.unchanged,
    },
    mismatches,
    clamped: result.clamped,
    unknownDevices: result.unknown.length,
    parkedRanges: result.parkedRanges,
    putBack: result.putBack.length,
    stageMs: { ...stageMs, compute: Math.max(0, now - batch.started - known) },
    latenciesMs: latenciesOf(batch, result, now),
  };
}

function latenciesOf({ taken, takenAt }: Running, result: BatchResult, now: number): number[] {
  const open = new Set(result.putBack.map(({ device }) => device));
  const ages = Map.groupBy(taken.ranges, ({ device }) => device);
  return result.devices
    .filter((device) => !open.has(device))
    .map((device) => {
      const oldest = Math.max(...(ages.get(device) ?? []).map(({ ageMs }) => ageMs));
      return oldest + now - takenAt;
    });
}

/** For the operator; the table it goes to is read by operators only. */
function describe(error: unknown, code: string): string {
  const message = error instanceof Error ? error.message : String(error);
  return `${code}: ${message}`.slice(0, 500);
}
