import type { MetricMaker } from './metric-maker.ts';

export type ShardMetrics = ReturnType<typeof createShardMetrics>;

/** Metrics that name the shard; they exist only with STREAM_SHARDS. */
export function createShardMetrics(make: MetricMaker, shards: readonly number[]) {
  const values = shards.map(String);
  const gauge = (name: string, help: string) => make.labelledGauge(name, help, ['shard']);
  return {
    up: gauge('processor_shard_up', '1 while the shard is read or could be; 0 if its Redis fails.'),
    entriesRead: make.counter(
      'processor_shard_entries_read_total',
      'Entries read from the shard.',
      'shard',
      values,
    ),
    recordsSettled: make.counter(
      'processor_shard_records_settled_total',
      'Records of the shard with an outcome, counted when their entry is acknowledged.',
      'shard',
      values,
    ),
    length: gauge(
      'processor_shard_length_entries',
      'Entries in the stream of the shard; absent when unknown.',
    ),
    lag: gauge(
      'processor_shard_lag_entries',
      'Entries of the shard not yet delivered to the group; absent when unknown.',
    ),
    lagSeconds: gauge(
      'processor_shard_lag_seconds',
      'Age of the oldest entry of the shard not yet delivered; absent when unknown.',
    ),
    pending: gauge(
      'processor_shard_pending_entries',
      'Entries of the shard delivered and not acknowledged; absent when unknown.',
    ),
    paused: gauge(
      'processor_shard_paused',
      '1 while consumption of the shard is paused by an operator.',
    ),
    wrongShard: make.plainCounter(
      'processor_wrong_shard_total',
      'Records that were read from another shard than the hash of their device names; they are stored.',
    ),
  };
}
