import type { DeviceId, EntryId } from '../core/types.ts';
import type { Metrics } from '../observability/metrics.ts';
import type { Pause } from '../stream/control.ts';
import { type DeadLetterTotals, watchDeadLetters } from '../stream/dead-letter-totals.ts';
import { isDeviceId } from '../teltonika/imei.ts';
import type { Parts } from './parts.ts';

/** One stream that is maintained, with its reading side. */
export type MaintainedStream = Parts['streams'][number] & {
  readonly side: Parts['pipeline']['readings'][number];
};

/** Called with the totals of the stream's dead letters; null while they cannot be read. */
export type ShowDeadLetters = (totals: DeadLetterTotals | null) => void;

/** Writes losses to Redis, where they outlive this process; a failed write is retried. */
export function lossRecording({
  losses,
  log,
}: Pick<MaintainedStream, 'losses' | 'log'>): () => Promise<void> {
  let hasFailed = false;
  return async () => {
    try {
      await losses.flush();
      hasFailed = false;
    } catch (error) {
      if (!hasFailed) log.warn({ err: error }, 'losses could not be recorded in Redis; retrying');
      hasFailed = true;
    }
  };
}

/** Trims the dead-letter stream to its limits and reports the dropped dead letters. */
export function deadLettersJob(
  { stream, connection, log }: MaintainedStream,
  metrics: Metrics,
  show: ShowDeadLetters,
) {
  let before: DeadLetterTotals | null = null;
  return async () => {
    try {
      const totals = await watchDeadLetters(await connection.ready(), stream);
      show(totals);
      const dropped = totals.droppedEntries - (before?.droppedEntries ?? totals.droppedEntries);
      before = totals;
      if (dropped > 0) {
        log.error(
          { dropped, dropped_total: totals.droppedEntries },
          'dead letters dropped: their stream is full',
        );
      }
    } catch (error) {
      metrics.scrapeErrors.inc();
      show(null);
      log.debug({ err: error }, 'dead-letter stream could not be sampled');
    }
  };
}

/** Carries out operator requests, and detects another process with the same consumer name. */
export function switchesJob(
  { stream, control, side, state, log }: MaintainedStream,
  metrics: Metrics,
  forget: (device: DeviceId) => void,
) {
  const { consumer } = stream;
  let isShared = false;
  let effective: Pause | null = null;

  function apply(pause: Pause | null): void {
    if ((pause === null) === (effective === null)) return;
    const { by, reason } = pause ?? effective ?? { by: 'unknown', reason: '' };
    effective = pause;
    side.setPaused(pause !== null);
    state.paused(pause !== null);
    state.health('consumption', pause === null ? 'ok' : 'paused by an operator');
    if (pause === null) log.warn({ paused_by: by, reason }, 'consumption resumed');
    else log.warn({ paused_by: by, reason }, 'consumption paused');
  }

  function reportShared(found: boolean): void {
    state.nameShared(found);
    if (found && !isShared) {
      log.error({ consumer }, 'another live process has the same CONSUMER_NAME; give each its own');
    }
    isShared = found;
  }

  return async () => {
    try {
      apply(await control.readPause());
      reportShared(await control.holdName(consumer));
      for (const { device } of await control.readRequests()) {
        if (!isDeviceId(device)) continue;
        forget(device);
        metrics.controlRequests.inc();
        log.info({}, 'state of a device dropped on request; its next record looks it up');
      }
    } catch (error) {
      // The switches keep their state; the guards report the outage.
      log.debug({ err: error }, 'operator switches could not be read');
    }
  };
}

/** Renews the claim on entries that were in flight at the previous run as well. */
export function claimsJob({ inFlight, renewClaims, log }: MaintainedStream, metrics: Metrics) {
  let before: ReadonlySet<EntryId> = new Set();
  return async () => {
    const held = inFlight.ids();
    const long = held.filter((id) => before.has(id));
    before = new Set(held);
    if (long.length === 0) return;
    try {
      metrics.claimsKept.inc(await renewClaims(long));
    } catch (error) {
      log.debug({ err: error }, 'claims could not be renewed');
    }
  };
}
