import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client';
import {
  batchClosings,
  breakerStates,
  decodeReasons,
  dependencies,
  entrySources,
  lossCauses,
  messageCodecs,
  outcomes,
  pauseCauses,
  reasons,
} from '../core/types.ts';

/** Gauges in prom-client that its own format check refuses: gauges named `_total`. */
const misnamedDefaults = [
  'nodejs_active_handles_total',
  'nodejs_active_requests_total',
  'nodejs_active_resources_total',
];

const stageNames = ['interpret', 'insert', 'acknowledge'] as const;
const latencyOrigins = ['entry', 'device'] as const;
const streamEvents = ['group_recreated', 'went_back', 'loss_uncertain'] as const;
const rehydrationResults = ['found', 'absent', 'failed'] as const;
const poolStates = ['busy', 'idle'] as const;
const redisRoles = ['reader', 'writer'] as const;

/** From an idle service (5 ms) over an outage (1 h) to a tracker back from abroad (30 d). */
const latencyBuckets = [
  ...[0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600],
  ...[21_600, 86_400, 604_800, 2_592_000],
];

export type Metrics = ReturnType<typeof createMetrics>;

/** All metrics of the service, each label combination at 0 from the start. */
export function createMetrics(build: { version: string; revision: string }) {
  const registry = new Registry();
  collectDefaultMetrics({ register: registry });
  for (const name of misnamedDefaults) registry.removeSingleMetric(name);
  const registers = [registry];

  const counter = <Label extends string>(
    name: string,
    help: string,
    label: Label,
    values: readonly string[],
  ) => {
    const made = new Counter({ name, help, labelNames: [label], registers });
    for (const value of values) made.inc(labels(label, value), 0);
    return made;
  };
  const counter2 = <First extends string, Second extends string>(
    name: string,
    help: string,
    values: Readonly<Record<First | Second, readonly string[]>>,
  ) => {
    const [first, second] = Object.entries<readonly string[]>(values);
    if (first === undefined || second === undefined) throw new TypeError(`${name}: two labels`);
    const labelNames = [first[0], second[0]];
    const made = new Counter<string>({ name, help, labelNames, registers });
    for (const a of first[1]) {
      for (const b of second[1]) made.inc({ [first[0]]: a, [second[0]]: b }, 0);
    }
    return made;
  };
  const plainCounter = (name: string, help: string) => new Counter({ name, help, registers });
  const gauge = (name: string, help: string) => new Gauge({ name, help, registers });
  const labelled = <Label extends string>(
    name: string,
    help: string,
    labelNames: readonly Label[],
  ) => new Gauge({ name, help, labelNames: [...labelNames], registers });
  const histogram = (name: string, help: string, buckets: number[]) =>
    new Histogram({ name, help, buckets, registers });

  const labelledHistogram = <Label extends string>(
    name: string,
    help: string,
    label: Label,
    values: readonly string[],
    buckets: number[],
  ) => {
    const made = new Histogram({ name, help, labelNames: [label], buckets, registers });
    for (const value of values) made.zero(labels(label, value));
    return made;
  };

  const buildInfo = labelled('processor_build_info', 'Always 1; what is running.', [
    'version',
    'revision',
    'node_version',
  ]);
  buildInfo.set({ ...build, node_version: process.versions.node }, 1);

  return {
    registry,
    entriesRead: counter(
      'processor_entries_read_total',
      'Entries read from the stream.',
      'source',
      entrySources,
    ),
    records: counter(
      'processor_records_total',
      'Records by how their way ended.',
      'outcome',
      outcomes,
    ),
    messages: counter(
      'processor_messages_total',
      'Messages by codec; they carry no position.',
      'codec',
      messageCodecs,
    ),
    decodeErrors: counter(
      'processor_decode_errors_total',
      'Entries and records that could not be decoded, by reason.',
      'reason',
      decodeReasons,
    ),
    deadLetters: counter(
      'processor_dead_letters_total',
      'Records dead-lettered, by reason.',
      'reason',
      reasons,
    ),
    batches: counter(
      'processor_batches_total',
      'Batches by what closed them.',
      'closed_by',
      batchClosings,
    ),
    statements: plainCounter('processor_statements_total', 'Statements sent to write batches.'),
    lateRecords: plainCounter(
      'processor_late_records_total',
      'Stored records older than the newest known of their device.',
    ),
    luhnFailures: plainCounter(
      'processor_luhn_failures_total',
      'Entries whose IMEI fails the Luhn check; never a reason to reject.',
    ),
    batchSize: histogram(
      'processor_batch_size_records',
      'Rows in a batch.',
      [1, 10, 50, 100, 250, 500, 1000, 2500, 5000, 10_000, 20_000],
    ),
    insertDuration: histogram(
      'processor_insert_duration_seconds',
      'Time from handing a batch to the database to its outcome.',
      [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10],
    ),
    stageDuration: labelledHistogram(
      'processor_stage_duration_seconds',
      'Time one stage took for what one read or one batch brought.',
      'stage',
      stageNames,
      [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5],
    ),
    endToEnd: labelledHistogram(
      'processor_end_to_end_latency_seconds',
      'To being durable: of each entry from its id, and of its first new record from the device.',
      'from',
      latencyOrigins,
      latencyBuckets,
    ),
    inFlightRecords: gauge('processor_inflight_records', 'Records read and not yet acknowledged.'),
    bufferRecords: gauge('processor_buffer_records', 'Records waiting for a writer.'),
    bufferLimitRecords: gauge(
      'processor_buffer_limit_records',
      'Records in flight at which reading stops.',
    ),
    backpressure: counter(
      'processor_backpressure_seconds_total',
      'Time reading stood still, by cause.',
      'cause',
      pauseCauses,
    ),
    retries: counter(
      'processor_retries_total',
      'Failed attempts that are tried again.',
      'dependency',
      dependencies,
    ),
    retryBudget: labelled(
      'processor_retry_budget_remaining_ratio',
      'Share of the retry budget that is left.',
      ['dependency'],
    ),
    breakerState: initialised(
      labelled('processor_circuit_breaker_state', '1 for the state the breaker is in.', [
        'dependency',
        'state',
      ]),
      dependencies.flatMap((dependency) =>
        breakerStates.map((state) => [{ dependency, state }, state === 'closed' ? 1 : 0] as const),
      ),
    ),
    breakerTransitions: counter2(
      'processor_circuit_breaker_transitions_total',
      'Changes of the breaker, by the state it went to.',
      { dependency: dependencies, to: breakerStates },
    ),
    dependencyUp: labelled('processor_dependency_up', '1 while the dependency answers.', [
      'dependency',
    ]),
    conservationResidual: gauge(
      'processor_conservation_residual_records',
      'Records read less settled less in flight; anything but 0 is a bug.',
    ),
    streamLength: labelled('processor_stream_length_entries', 'Entries in the stream.', ['stream']),
    streamIdFault: labelled(
      'processor_stream_ids_no_clock',
      '1 while entry ids do not say when entries were added; ages and latencies from them are absent then.',
      ['stream', 'reason'],
    ),
    streamNeverWritten: labelled(
      'processor_stream_never_written',
      '1 while nothing was ever written to the stream: is its name right?',
      ['stream'],
    ),
    groupLag: labelled(
      'processor_stream_group_lag_entries',
      'Entries not yet delivered to the group; absent when unknown.',
      ['stream', 'group'],
    ),
    groupLagKnown: labelled('processor_stream_group_lag_known', '1 when the lag can be told.', [
      'stream',
      'group',
    ]),
    groupLagSeconds: labelled(
      'processor_stream_group_lag_seconds',
      'Age of the oldest entry not yet delivered; absent when unknown.',
      ['stream', 'group'],
    ),
    groupPending: labelled(
      'processor_stream_group_pending_entries',
      'Entries delivered and not acknowledged.',
      ['stream', 'group'],
    ),
    groupPendingOldest: labelled(
      'processor_stream_group_pending_oldest_seconds',
      'Age of the oldest pending entry.',
      ['stream', 'group'],
    ),
    deadLetterEntries: gauge('processor_dead_letter_entries', 'Entries in the dead-letter stream.'),
    deadLetterBytes: labelled(
      'processor_dead_letter_bytes',
      'Bytes of names and values in the dead-letter stream.',
      ['stream'],
    ),
    deadLetterOldest: gauge(
      'processor_dead_letter_oldest_seconds',
      'Age of the oldest dead letter.',
    ),
    deadLettersDropped: labelled(
      'processor_dead_letters_dropped',
      'Dead letters that the limits of their stream have dropped in total, as Redis counts them.',
      ['stream'],
    ),
    deadLettersWaiting: gauge(
      'processor_dead_letters_waiting',
      'Entries whose dead letter cannot be written at the moment.',
    ),
    entriesLost: counter(
      'processor_stream_entries_lost_total',
      'Entries lost before they were processed, by cause.',
      'cause',
      lossCauses,
    ),
    streamEvents: counter(
      'processor_stream_events_total',
      'What happened to the stream or its group elsewhere. loss_uncertain: entries may have been lost around a restart of Redis; otherwise it is read from the start again.',
      'event',
      streamEvents,
    ),
    claims: plainCounter(
      'processor_claims_total',
      'Entries taken over from another consumer, or from a former life of this one.',
    ),
    claimRuns: plainCounter(
      'processor_claim_runs_total',
      'Scans for entries of dead instances that came to their end.',
    ),
    claimsKept: plainCounter(
      'processor_claims_kept_total',
      'Renewals of the claim on entries held for long.',
    ),
    consumersRemoved: plainCounter(
      'processor_consumers_removed_total',
      'Consumers removed that were idle and held nothing.',
    ),
    triedAlone: plainCounter(
      'processor_entries_tried_alone_total',
      'Entries delivered too often and tried with nothing beside them.',
    ),
    scrapeErrors: plainCounter('processor_scrape_errors_total', 'Failed samplings of the stream.'),
    deviceStateEntries: gauge(
      'processor_device_state_entries',
      'Devices whose state is in memory.',
    ),
    deviceStateCapacity: gauge('processor_device_state_capacity', 'Devices that fit.'),
    deviceStateHits: plainCounter(
      'processor_device_state_hits_total',
      'Devices of a batch that were known.',
    ),
    deviceStateMisses: plainCounter(
      'processor_device_state_misses_total',
      'Devices of a batch that had to be looked up.',
    ),
    deviceStateEvictions: plainCounter(
      'processor_device_state_evictions_total',
      'States dropped for newer devices.',
    ),
    rehydrations: counter(
      'processor_rehydrations_total',
      'Devices looked up in the database.',
      'result',
      rehydrationResults,
    ),
    poolConnections: counterGauge(
      labelled('processor_db_pool_connections', 'Database connections by state.', ['state']),
      poolStates,
    ),
    poolWaiting: gauge('processor_db_pool_waiting', 'Statements waiting for a connection.'),
    chunks: gauge(
      'processor_hypertable_chunks',
      'Chunks of positions, sampled every minute; 0 for a plain table, absent while unknown.',
    ),
    redisConnected: labelled('processor_redis_connected', '1 while the connection is up.', [
      'role',
    ]),
    redisReconnects: counter(
      'processor_redis_reconnects_total',
      'Connections to Redis made anew.',
      'role',
      redisRoles,
    ),
    httpEvictions: plainCounter(
      'processor_http_connections_evicted_total',
      'HTTP connections closed because 64 were open.',
    ),
    lastCommit: gauge(
      'processor_last_commit_timestamp_seconds',
      'When a batch was last committed; 0 before the first.',
    ),
    lastRead: gauge(
      'processor_last_read_timestamp_seconds',
      'When entries were last read; 0 before the first.',
    ),
    consumptionPaused: gauge(
      'processor_consumption_paused',
      '1 while consumption is paused by an operator.',
    ),
    ready: gauge('processor_ready', '1 while /health/ready answers ok.'),
    nameShared: gauge(
      'processor_consumer_name_shared',
      '1 while another live process uses the same consumer name.',
    ),
    controlRequests: plainCounter(
      'processor_control_requests_total',
      'Requests of operators that this instance carried out.',
    ),
    shutdownInProgress: gauge('processor_shutdown_in_progress', '1 while the instance drains.'),
  };
}

function labels<Label extends string>(label: Label, value: string): Partial<Record<Label, string>> {
  const made: Partial<Record<Label, string>> = {};
  made[label] = value;
  return made;
}

function initialised<Label extends string>(
  gauge: Gauge<Label>,
  values: readonly (readonly [Partial<Record<Label, string>>, number])[],
): Gauge<Label> {
  for (const [series, value] of values) gauge.set(series, value);
  return gauge;
}

function counterGauge(gauge: Gauge<'state'>, states: readonly string[]): Gauge<'state'> {
  for (const state of states) gauge.set({ state }, 0);
  return gauge;
}
