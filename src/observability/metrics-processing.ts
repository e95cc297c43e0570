import { decodeReasons, messageCodecs, outcomes, pauseCauses } from '../core/types.ts';
import type { MetricMaker } from './metric-maker.ts';

const stageNames = ['interpret', 'insert', 'acknowledge'] as const;
const latencyOrigins = ['entry', 'device'] as const;

/** From an idle service (5 ms) over an outage (1 h) to a tracker back from abroad (30 d). */
const latencyBuckets = [
  0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600, 21_600, 86_400,
  604_800, 2_592_000,
];

/** Metrics of records between the read and the acknowledgement. */
export function createProcessingMetrics(make: MetricMaker) {
  return {
    records: make.counter('processor_records_total', 'Records by outcome.', 'outcome', outcomes),
    messages: make.counter(
      'processor_messages_total',
      'Messages by codec; they carry no position.',
      'codec',
      messageCodecs,
    ),
    decodeErrors: make.counter(
      'processor_decode_errors_total',
      'Entries and records that could not be decoded, by reason.',
      'reason',
      decodeReasons,
    ),
    lateRecords: make.plainCounter(
      'processor_late_records_total',
      'Stored records older than the newest known of their device.',
    ),
    luhnFailures: make.tallyCounter(
      'processor_luhn_failures_total',
      'Entries whose IMEI fails the Luhn check; never a reason to reject.',
    ),
    scanFallbacks: make.tallyCounter(
      'processor_payload_scan_fallbacks_total',
      'Payload entries that are not in the usual form and took the full reading, which costs several times as much.',
    ),
    stageDuration: make.labelledHistogram(
      'processor_stage_duration_seconds',
      'Duration of one stage for one read or one batch.',
      'stage',
      stageNames,
      [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5],
    ),
    endToEnd: make.tallyHistogram(
      'processor_end_to_end_latency_seconds',
      'Time until durable: of each entry since its id, and of its first new record since the time of the device.',
      'from',
      latencyOrigins,
      latencyBuckets,
    ),
    inFlightRecords: make.gauge(
      'processor_inflight_records',
      'Records read and not yet acknowledged.',
    ),
    bufferRecords: make.gauge('processor_buffer_records', 'Records waiting for a writer.'),
    bufferLimitRecords: make.gauge(
      'processor_buffer_limit_records',
      'Records in flight at which reading stops.',
    ),
    backpressure: make.counter(
      'processor_backpressure_seconds_total',
      'Time during which nothing was read, by cause.',
      'cause',
      pauseCauses,
    ),
    conservationResidual: make.gauge(
      'processor_conservation_residual_records',
      'Records read, minus settled, minus in flight; any value but 0 is a bug.',
    ),
    entriesInIsolation: make.plainCounter(
      'processor_entries_tried_alone_total',
      'Entries delivered too often and processed in isolation.',
    ),
  };
}
