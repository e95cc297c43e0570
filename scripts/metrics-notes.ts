interface Note {
  /** Of the value; of the observations of a histogram. */
  readonly unit: string;
  /** How to read it, and which metric or alert belongs to it. */
  readonly look: string;
}

const flag = '0 or 1';

/** What docs/metrics.md says about each metric beyond the registry. */
export const metricNotes: Readonly<Record<string, Note>> = {
  processor_backpressure_seconds_total: {
    unit: 's',
    look: 'its rate is the share of time; `buffer` above 0.8 is ProcessorBackpressure',
  },
  processor_batch_size_records: {
    unit: 'rows',
    look: 'grows with the load; near BATCH_ROWS the writers are at their limit',
  },
  processor_batches_total: {
    unit: 'batches',
    look: '`idle` at low load, `rows` or `bytes` under high load',
  },
  processor_buffer_limit_records: {
    unit: 'records',
    look: 'the line for `processor_inflight_records`',
  },
  processor_buffer_records: { unit: 'records', look: 'stays high when the database is too slow' },
  processor_build_info: { unit: 'always 1', look: 'whether all instances run the same' },
  processor_circuit_breaker_state: {
    unit: flag,
    look: '`open` for two minutes is ProcessorCircuitOpen',
  },
  processor_circuit_breaker_transitions_total: {
    unit: 'changes',
    look: 'how often a dependency fails and recovers',
  },
  processor_claim_runs_total: {
    unit: 'scans',
    look: 'must grow, or entries of dead instances stay pending',
  },
  processor_claims_kept_total: {
    unit: 'renewals',
    look: 'grows while an outage holds entries up',
  },
  processor_claims_total: {
    unit: 'entries',
    look: 'a jump: an instance died or started again',
  },
  processor_conservation_residual_records: {
    unit: 'records',
    look: 'anything but 0 is ProcessorConservationBroken',
  },
  processor_consumer_name_shared: { unit: flag, look: 'ProcessorConsumerNameShared' },
  processor_consumers_removed_total: { unit: 'consumers', look: 'after scaling in' },
  processor_consumption_paused: { unit: flag, look: 'ProcessorKillSwitchOn after 15 minutes' },
  processor_control_requests_total: {
    unit: 'requests',
    look: 'that `processor device rehydrate` arrived',
  },
  processor_database_primary_changes_total: {
    unit: 'changes',
    look: 'promotions; always 0 with one host in `POSTGRES_URL`',
  },
  processor_db_pool_connections: { unit: 'connections', look: 'all `busy` with some waiting' },
  processor_db_pool_waiting: {
    unit: 'statements',
    look: 'above 0 for five minutes is ProcessorPoolExhausted',
  },
  processor_dead_letter_entries: {
    unit: 'entries',
    look: 'ProcessorDeadLettersPresent; the same from every instance: `max`',
  },
  processor_dead_letter_bytes: {
    unit: 'bytes',
    look: 'against DEAD_LETTER_STREAM_MAX_BYTES; the same from every instance: `max`',
  },
  processor_dead_letters_dropped: {
    unit: 'dead letters',
    look: 'growth is ProcessorDeadLettersDropped; the same from every instance: `max`',
  },
  processor_dead_letters_waiting: {
    unit: 'entries',
    look: 'above 0 for five minutes is ProcessorDeadLettersBlocked',
  },
  processor_dead_letter_oldest_seconds: {
    unit: 's',
    look: 'a week is ProcessorDeadLettersOld; the same from every instance: `max`',
  },
  processor_dead_letters_total: {
    unit: 'records',
    look: 'which reason grows: ProcessorDeadLettersGrowing',
  },
  processor_decode_errors_total: {
    unit: 'entries and records',
    look: 'the connection, the ingestion service or a new tracker model',
  },
  processor_dependency_up: {
    unit: flag,
    look: 'absent until it was first used; 0 for five minutes is ProcessorDependencyDown',
  },
  processor_device_state_capacity: { unit: 'devices', look: 'DEVICE_STATE_CAPACITY' },
  processor_device_state_entries: {
    unit: 'devices',
    look: 'at the capacity with evictions: the fleet does not fit',
  },
  processor_device_state_evictions_total: {
    unit: 'devices',
    look: 'a rate that stays: raise DEVICE_STATE_CAPACITY',
  },
  processor_device_state_hits_total: { unit: 'devices', look: 'with the misses: the hit ratio' },
  processor_device_state_misses_total: {
    unit: 'devices',
    look: 'high after a start, then near 0',
  },
  processor_domain_contract_ok: {
    unit: flag,
    look: '0 for five minutes is ProcessorDomainContractBroken',
  },
  processor_domain_duration_seconds: { unit: 's', look: 'which stage of a batch takes the time' },
  processor_domain_errors_total: {
    unit: 'batches',
    look: '`reload` is normal after a change of geofences; `data` leads to ProcessorDomainParked',
  },
  processor_domain_geofences: {
    unit: 'geofences',
    look: '`refused` above 0 is ProcessorDomainGeofencesRefused; use `max`',
  },
  processor_domain_latency_seconds: {
    unit: 's',
    look: 'how soon a crossing is visible; grows with ProcessorDomainLagging',
  },
  processor_domain_outbox_oldest_seconds: {
    unit: 's',
    look: 'above 60 s for five minutes is ProcessorDomainLagging; use `max`',
  },
  processor_domain_outbox_rows: {
    unit: 'rows',
    look: 'against DOMAIN_OUTBOX_MAX; falls while a backlog is computed; use `max`',
  },
  processor_domain_parked_devices: {
    unit: 'devices',
    look: 'above 0 is ProcessorDomainParked; use `max`',
  },
  processor_domain_paused: { unit: flag, look: 'the outbox grows while it is 1; use `max`' },
  processor_domain_records_total: {
    unit: 'timing records',
    look: '`inserted` follows the traffic; much `superseded` means late positions or edited geofences',
  },
  processor_domain_reload_seconds: { unit: 's', look: 'grows with the number of geofences' },
  processor_domain_state_mismatch_total: {
    unit: 'windows',
    look: 'anything is ProcessorDomainStateMismatch',
  },
  processor_domain_unknown_devices: {
    unit: 'devices',
    look: 'devices that Directus does not know; their positions are stored and not computed',
  },
  processor_domain_windows_clamped_total: {
    unit: 'windows',
    look: 'grows after a recompute that reaches behind RETENTION',
  },
  processor_domain_windows_total: { unit: 'windows', look: 'its rate is the work of the domain' },
  processor_end_to_end_latency_seconds: {
    unit: 's',
    look: '`entry` carries the freshness objective, 10 s; `device` holds the network and the delay of trackers that were offline',
  },
  processor_entries_read_total: {
    unit: 'entries',
    look: '`new` is the load; the others come after a failure or a start',
  },
  processor_entries_tried_alone_total: {
    unit: 'entries',
    look: 'anything is ProcessorEntriesTriedAlone',
  },
  processor_http_connections_evicted_total: {
    unit: 'connections',
    look: 'a client that opens many connections to the metrics port and does not close them',
  },
  processor_hypertable_chunks: {
    unit: 'chunks',
    look: 'grows by one for each CHUNK_INTERVAL; above 1,000 is ProcessorManyChunks',
  },
  processor_inflight_records: {
    unit: 'records',
    look: 'near `processor_buffer_limit_records` reading stops',
  },
  processor_insert_duration_seconds: { unit: 's', look: 'p95; slow with small batches is a lock' },
  processor_last_commit_timestamp_seconds: {
    unit: 'Unix time, s',
    look: '`time() - max(…)`; above 120 s with a lag is ProcessorIngestStalled',
  },
  processor_last_read_timestamp_seconds: {
    unit: 'Unix time, s',
    look: 'older than the last commit: reading is blocked, or nothing arrives',
  },
  processor_late_records_total: {
    unit: 'records',
    look: 'trackers that send records stored while offline',
  },
  processor_luhn_failures_total: {
    unit: 'entries',
    look: 'test devices, or an IMEI that was misread',
  },
  processor_messages_total: { unit: 'messages', look: 'answers of trackers to commands' },
  processor_payload_scan_fallbacks_total: {
    unit: 'entries',
    look: 'near the rate of payload entries: the producer writes another form, for example other keys, another order or spaces, and each entry costs several times as much CPU',
  },
  processor_ready: { unit: flag, look: 'ProcessorNotReady after five minutes of 0' },
  processor_records_total: {
    unit: 'records',
    look: 'the rate of `inserted`; `conflict`, `dead_letter` and `lost` have alerts',
  },
  processor_redis_connected: { unit: flag, look: 'which of the two connections is down' },
  processor_redis_primary_changes_total: {
    unit: 'changes',
    look: 'failovers, and slots that moved; always 0 with one server in `REDIS_URL`',
  },
  processor_redis_reconnects_total: { unit: 'connections', look: 'an unstable network' },
  processor_rehydrations_total: {
    unit: 'devices',
    look: '`failed`: the database was unavailable',
  },
  processor_retries_total: { unit: 'attempts', look: 'with the breaker: how bad an outage is' },
  processor_retry_budget_remaining_ratio: {
    unit: '0 to 1',
    look: 'near 0 attempts wait for RETRIES_PER_MINUTE',
  },
  processor_scrape_errors_total: {
    unit: 'samplings',
    look: 'grows while ProcessorLagUnknown is near',
  },
  processor_shard_entries_read_total: { unit: 'entries', look: 'its rate by shard; about equal' },
  processor_shard_lag_entries: {
    unit: 'entries',
    look: 'of all shards: `sum(max by (shard) (processor_shard_lag_entries))`',
  },
  processor_shard_lag_seconds: {
    unit: 's',
    look: 'above 300 s while other shards are below is ProcessorShardNotRead; use `max`',
  },
  processor_shard_length_entries: {
    unit: 'entries',
    look: 'with the lag: ProcessorShardWillHitTrim; use `max`',
  },
  processor_shard_paused: { unit: flag, look: 'which shards an operator has paused' },
  processor_shard_pending_entries: {
    unit: 'entries',
    look: 'about what is in flight in all instances; use `max`',
  },
  processor_shard_records_settled_total: {
    unit: 'records',
    look: 'grows in every shard that has devices',
  },
  processor_shard_up: {
    unit: flag,
    look: '0 in every instance for five minutes is ProcessorShardDown',
  },
  processor_shutdown_in_progress: { unit: flag, look: '1 for longer than DRAIN_BUDGET_MS' },
  processor_stage_duration_seconds: { unit: 's', look: 'which stage takes the time' },
  processor_statements_total: {
    unit: 'statements',
    look: 'many for each batch: the service is isolating bad rows',
  },
  processor_stream_entries_lost_total: { unit: 'entries', look: 'anything is ProcessorDataLoss' },
  processor_stream_events_total: {
    unit: 'events',
    look: 'loss_uncertain is ProcessorLossUncertain, anything else ProcessorStreamReset',
  },
  processor_stream_ids_no_clock: {
    unit: '0 or 1',
    look: '1 is ProcessorEntryIdsNoClock; `exhausted` is ProcessorEntryIdsExhausted; use `max`',
  },
  processor_stream_group_lag_entries: {
    unit: 'entries',
    look: 'with the length: distance to trimming; use `max`',
  },
  processor_stream_group_lag_known: {
    unit: flag,
    look: '0 for ten minutes is ProcessorLagUnknown',
  },
  processor_stream_group_lag_seconds: {
    unit: 's',
    look: 'above 300 s is ProcessorLagAgeHigh; use `max`',
  },
  processor_stream_group_pending_entries: {
    unit: 'entries',
    look: 'about what is in flight in all instances; more belongs to dead ones; use `max`',
  },
  processor_stream_group_pending_oldest_seconds: {
    unit: 's',
    look: 'above 600 s is ProcessorPendingStuck; use `max`',
  },
  processor_stream_length_entries: {
    unit: 'entries',
    look: 'stays where MAXLEN is; ProcessorLagWillHitTrim; use `max`',
  },
  processor_stream_never_written: { unit: flag, look: 'ProcessorStreamNeverWritten' },
  processor_wrong_shard_total: { unit: 'records', look: 'anything is ProcessorWrongShard' },
};
