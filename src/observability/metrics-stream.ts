import { entrySources, lossCauses } from '../core/types.ts';
import type { MetricMaker } from './metric-maker.ts';

const streamEvents = ['group_recreated', 'went_back', 'loss_uncertain'] as const;

/** Metrics of the stream, the consumer group and what is read from them. */
export function createStreamMetrics(make: MetricMaker) {
  return {
    entriesRead: make.counter(
      'processor_entries_read_total',
      'Entries read from the stream.',
      'source',
      entrySources,
    ),
    streamLength: make.labelledGauge('processor_stream_length_entries', 'Entries in the stream.', [
      'stream',
    ]),
    streamIdFault: make.labelledGauge(
      'processor_stream_ids_no_clock',
      '1 while entry ids do not give the time of adding; ages and latencies are then absent.',
      ['stream', 'reason'],
    ),
    streamNeverWritten: make.labelledGauge(
      'processor_stream_never_written',
      '1 while the stream has never been written to; check its name.',
      ['stream'],
    ),
    groupLag: make.labelledGauge(
      'processor_stream_group_lag_entries',
      'Entries not yet delivered to the group; absent when unknown.',
      ['stream', 'group'],
    ),
    groupLagKnown: make.labelledGauge(
      'processor_stream_group_lag_known',
      '1 while the lag is known.',
      ['stream', 'group'],
    ),
    groupLagSeconds: make.labelledGauge(
      'processor_stream_group_lag_seconds',
      'Age of the oldest entry not yet delivered; absent when unknown.',
      ['stream', 'group'],
    ),
    groupPending: make.labelledGauge(
      'processor_stream_group_pending_entries',
      'Entries delivered and not acknowledged.',
      ['stream', 'group'],
    ),
    groupPendingOldest: make.labelledGauge(
      'processor_stream_group_pending_oldest_seconds',
      'Age of the oldest pending entry.',
      ['stream', 'group'],
    ),
    entriesLost: make.counter(
      'processor_stream_entries_lost_total',
      'Entries lost before they were processed, by cause.',
      'cause',
      lossCauses,
    ),
    streamEvents: make.counter(
      'processor_stream_events_total',
      'Events of the stream or its group outside the service. loss_uncertain: entries may have been lost around a restart of Redis; otherwise the stream is read from the start again.',
      'event',
      streamEvents,
    ),
    claims: make.plainCounter(
      'processor_claims_total',
      'Entries claimed from another consumer, or from an earlier process of this one.',
    ),
    claimRuns: make.plainCounter(
      'processor_claim_runs_total',
      'Completed scans for entries of dead instances.',
    ),
    claimsKept: make.plainCounter(
      'processor_claims_kept_total',
      'Renewed claims on entries held for a long time.',
    ),
    consumersRemoved: make.plainCounter(
      'processor_consumers_removed_total',
      'Removed consumers that were idle and held no entries.',
    ),
    scrapeErrors: make.plainCounter(
      'processor_scrape_errors_total',
      'Failed samples of the stream.',
    ),
    lastRead: make.gauge(
      'processor_last_read_timestamp_seconds',
      'Time of the last read with entries; 0 before the first.',
    ),
  };
}
