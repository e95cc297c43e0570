import type { Config } from '../config/load.ts';
import type { Account, Logger } from '../core/types.ts';
import { createConsumerEvents } from '../observability/consumer-events.ts';
import type { Metrics } from '../observability/metrics.ts';
import { createConsumer } from '../stream/consumer.ts';
import { controlKeys } from '../stream/control-keys.ts';
import { createLossRecord } from '../stream/losses.ts';
import { createPrimaryFinder } from '../stream/primary-finder.ts';
import { createConnection, openRedis } from '../stream/redis.ts';
import { placeText } from '../stream/topology.ts';

/** Time beyond the block time before a silent connection counts as dead. */
const readSlackMs = 3000;

/** Both connections to Redis, the consumer and the record of losses; nothing connects yet. */
export function buildRedis(config: Config, metrics: Metrics, log: Logger, account: Account) {
  const { redis, stream, service } = config;
  const now = () => Date.now();
  const primaries = createPrimaryFinder(redis, (from, to) =>
    log.info({ from: placeText(from), to: placeText(to) }, 'redis primary changed'),
  );
  const openAs = (role: 'reader' | 'writer') => () =>
    openRedis(
      {
        ...redis,
        primaries,
        key: stream.key,
        connectionName: `processor:${service.instance}:${role}`,
        onReconnect: () => metrics.redisReconnects.inc({ role }),
      },
      log,
    );
  const connection = createConnection(openAs('writer'), stream.key);
  const losses = createLossRecord(connection.ready, controlKeys(stream.key).lost, now);
  const consumer = createConsumer(
    openAs('reader'),
    connection.ready,
    { ...stream, slackMs: readSlackMs, now },
    createConsumerEvents(metrics, log, account, losses.add),
  );
  return { connection, consumer, losses };
}
