import { Redis, type RedisOptions } from 'ioredis';
import {
  createSender as createSimulatorSender,
  type Sender,
  type SenderOptions,
} from '../../src/simulator/sender.ts';

export type { Sender } from '../../src/simulator/sender.ts';

const COMMAND_TIMEOUT_MS = 1_500;

/**
 * The simulator's sender with a connection of its own to Redis itself: what stands between Redis
 * and the service must not stand in the way of the load.
 */
export function createSender({
  url,
  ...options
}: Omit<SenderOptions, 'open'> & { readonly url: string }): Sender {
  return createSimulatorSender({ ...options, open: () => openFeeder(url) });
}

/** A connection of a sender: it never queues, resends or reconnects. */
export function openFeeder(
  url: string,
  options: Pick<RedisOptions, 'enableReadyCheck'> = {},
): Redis {
  const client = new Redis(url, {
    ...options,
    connectionName: 'faults:feeder',
    protocol: 2,
    lazyConnect: true,
    connectTimeout: COMMAND_TIMEOUT_MS,
    commandTimeout: COMMAND_TIMEOUT_MS,
    enableOfflineQueue: false,
    autoResendUnfulfilledCommands: false,
    maxRetriesPerRequest: 0,
    retryStrategy: () => null,
  });
  // A connection that breaks also rejects its commands; unheard, ioredis prints the event.
  client.on('error', () => {});
  return client;
}
