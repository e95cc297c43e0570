import type { Logger } from '../core/types.ts';
import type { Metrics } from '../observability/metrics.ts';
import { limitPerMinute } from '../observability/pipeline-events.ts';
import { shardOf } from '../stream/shards.ts';
import type { Interpret } from '../teltonika/interpret.ts';

/** Counts records that a producer wrote to another shard than the hash of their device names. */
export function createShardCheck(metrics: Metrics, log: Logger, count: number) {
  const mayLog = limitPerMinute(1, Date.now);
  let unlogged = 0;

  function report(shard: number, expected: number, records: number): void {
    metrics.shards?.wrongShard.inc(records);
    unlogged += records;
    if (!mayLog()) return;
    log.warn(
      { shard, expected, records: unlogged, shards: count },
      'records in the wrong shard are stored; does the producer hash as the service does, with the same STREAM_SHARDS?',
    );
    unlogged = 0;
  }

  /** The same interpretation; all records of an entry are of one device. */
  return (interpret: Interpret, shard: number): Interpret =>
    (entry) => {
      const found = interpret(entry);
      if (found.kind !== 'records') return found;
      const [first] = found.positions;
      if (first === undefined) return found;
      const expected = shardOf(first.deviceId, count);
      if (expected !== shard) report(shard, expected, found.positions.length);
      return found;
    };
}
