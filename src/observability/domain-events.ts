import type { Logger } from '../core/types.ts';
import type {
  BatchFailure,
  BatchReport,
  DomainEvents,
  LoadReport,
  QueueSample,
  RefusedGeofence,
} from '../domain/ports.ts';
import { isPowerOfTwo } from './guard-events.ts';
import type { Metrics } from './metrics.ts';
import { domainHandlers } from './metrics-domain.ts';

const [handler] = domainHandlers;

/** Maximum refused geofences with a log line of their own in one load. */
const loggedRefusals = 20;

/** Events of the domain as metrics and log lines; no line at info or above names a device. */
export function createDomainEvents(metrics: Metrics, log: Logger): DomainEvents {
  const logRefused = createRefusalLog(log);
  return {
    batch(report) {
      countBatch(metrics, report);
      if (report.mismatches > 0) {
        log.error(
          { windows: report.mismatches },
          'a fix contradicts the stored timing records; run processor domain verify',
        );
      }
      log.debug({ ...counted(report), ...report.stageMs }, 'batch of the domain committed');
    },
    failed(failure) {
      metrics.domainErrors.inc({ handler, kind: failure.kind });
      logFailure(log, failure);
    },
    recovered() {
      log.info({}, 'the domain works again');
    },
    parked(_device, attempts, code) {
      log.error(
        { attempts, code },
        'a device is parked; processor domain status lists it, processor domain retry computes it again',
      );
    },
    contract(faults) {
      metrics.domainContractOk.set({ handler }, faults.length === 0 ? 1 : 0);
      if (faults.length === 0) log.info({}, 'the contract with Directus is as promised');
      else log.error({ faults }, 'the contract with Directus is broken; the domain is off');
    },
    loaded(report) {
      setLoaded(metrics, report);
      const { version, active, refused, refusedAssignments, durationMs } = report;
      log.info(
        { version, active, refused: refused.length, duration_ms: Math.round(durationMs) },
        'geofences and assignments loaded',
      );
      logRefused(refused);
      if (refusedAssignments === 0) return;
      log.warn(
        { assignments: refusedAssignments },
        'assignments are refused: a key or an IMEI is missing or invalid, or several IMEIs have one key',
      );
    },
    changed({ changed, enqueued }) {
      log.info(
        { changed, ranges: enqueued },
        'geofences or assignments changed; their ranges are computed again',
      );
    },
    sampled: (sample) => setSample(metrics, sample),
    compacted({ before, after }) {
      log.warn({ before, after }, 'the outbox was above its limit; merged to one range a device');
    },
    waiting(cause) {
      if (cause === null) log.info({}, 'the domain resumes');
      else log.info({ cause }, 'the domain waits');
    },
  };
}

function countBatch(metrics: Metrics, report: BatchReport): void {
  const { records, stageMs } = report;
  metrics.domainWindows.inc({ handler }, report.windows);
  metrics.domainClamped.inc({ handler }, report.clamped);
  metrics.domainMismatches.inc({ handler }, report.mismatches);
  for (const [result, count] of Object.entries(records)) {
    metrics.domainRecords.inc({ handler, result }, count);
  }
  for (const [stage, ms] of Object.entries(stageMs)) {
    metrics.domainDuration.observe({ handler, stage }, ms / 1000);
  }
  const latency = metrics.domainLatency.labels({ handler });
  for (const ms of report.latenciesMs) latency.observe(Math.max(0, ms) / 1000);
}

function counted({ latenciesMs: _, stageMs: __, records, ...counts }: BatchReport): object {
  return { ...counts, ...records };
}

/** At powers of two: a long outage must not fill the disk. A reload is normal after an edit. */
function logFailure(log: Logger, { kind, code, attempt, devices, error }: BatchFailure): void {
  const fields = { kind, code, attempt, devices, err: error };
  if (kind === 'reload') log.debug(fields, 'geofences changed meanwhile; reloading them');
  else if (!isPowerOfTwo(attempt)) return;
  else if (kind === 'unavailable') log.warn(fields, 'the domain failed; it retries');
  else log.error(fields, 'the domain failed; it retries');
}

function setLoaded(metrics: Metrics, { active, refused, durationMs }: LoadReport): void {
  metrics.domainGeofences.set({ handler, state: 'active' }, active);
  metrics.domainGeofences.set({ handler, state: 'refused' }, refused.length);
  metrics.domainReload.observe({ handler }, durationMs / 1000);
}

function setSample(metrics: Metrics, sample: QueueSample | null): void {
  if (sample === null) {
    const { domainOutboxRows, domainOutboxOldest, domainParked, domainPaused } = metrics;
    for (const gauge of [domainOutboxRows, domainOutboxOldest, domainParked, domainPaused]) {
      gauge.reset();
    }
    return;
  }
  metrics.domainOutboxRows.set({ handler }, sample.rows);
  metrics.domainOutboxOldest.set({ handler }, sample.oldestMs / 1000);
  metrics.domainParked.set({ handler }, sample.parkedDevices);
  metrics.domainPaused.set({ handler }, sample.isPaused ? 1 : 0);
  if (sample.unknownDevices !== null) {
    metrics.domainUnknownDevices.set({ handler }, sample.unknownDevices);
  }
}

/** Logs what the last load did not refuse yet: a geofence stays refused over many loads. */
function createRefusalLog(log: Logger): (refused: readonly RefusedGeofence[]) => void {
  let known: ReadonlySet<string> = new Set();
  const keyOf = ({ geofence, reason }: RefusedGeofence) => `${geofence} ${reason}`;
  return (refused) => {
    const found = refused.filter((one) => !known.has(keyOf(one)));
    known = new Set(refused.map(keyOf));
    for (const { geofence, reason } of found.slice(0, loggedRefusals)) {
      log.warn({ geofence, reason }, 'geofence refused');
    }
    const unlogged = found.length - loggedRefusals;
    if (unlogged > 0) log.warn({ geofences: unlogged }, 'more geofences refused');
  };
}
