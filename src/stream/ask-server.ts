import type { ConnectionOptions } from 'node:tls';
import { Redis } from 'ioredis';
import { DependencyError } from '../core/types.ts';
import { connectorTo } from './connector.ts';
import { asRedisError } from './redis-error.ts';
import { type Login, loginOptions, type Place } from './topology.ts';

export interface AskOptions {
  readonly login: Login;
  /** Null: plain text. */
  readonly tls: ConnectionOptions | null;
  /** Time for the connection and the reply together. */
  readonly timeoutMs: number;
}

/**
 * Asks one server one command over a connection of its own.
 * @throws DependencyError after `timeoutMs` at the latest
 */
export async function askServer(
  place: Place,
  [command, ...args]: readonly [string, ...string[]],
  { login, tls, timeoutMs }: AskOptions,
): Promise<unknown> {
  const client = new Redis({
    ...loginOptions(login),
    ...(tls && { tls }),
    Connector: connectorTo(() => Promise.resolve(place), { tls }),
    connectionName: 'processor:locate',
    lazyConnect: true,
    retryStrategy: () => null,
    // A sentinel's INFO has no `loading`.
    enableReadyCheck: false,
    disableClientInfo: true,
    maxRetriesPerRequest: 0,
    protocol: 2,
  });
  let reason: Error | null = null;
  client.on('error', (error) => {
    reason ??= error;
  });
  const asked = client.connect().then(() => client.call(command, ...args));
  let timer: NodeJS.Timeout | undefined;
  const silence = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(silent(timeoutMs)), timeoutMs);
  });
  try {
    return await Promise.race([asked, silence]);
  } catch (error) {
    throw asRedisError(error instanceof DependencyError ? error : (reason ?? error));
  } finally {
    clearTimeout(timer);
    // Rejects after the deadline.
    asked.catch(() => undefined);
    client.disconnect();
    // A server that hangs would not end the connection; there is none before the first attempt.
    client.stream?.destroy();
  }
}

function silent(timeoutMs: number): DependencyError {
  return new DependencyError('redis', 'unavailable', 'SILENT', `no reply within ${timeoutMs} ms`);
}
