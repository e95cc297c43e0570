import type { Redis } from 'ioredis';
import { createPrimaryFinder, type ServerOptions } from '../src/stream/primary-finder.ts';
import { openClient } from '../src/stream/topology.ts';
import { askPostgres } from '../tools/servers/ask.ts';
import { ServerError, startPostgres, startRedis } from '../tools/servers/servers.ts';

export interface DemoServers {
  /** null: the environment names one. */
  readonly redisUrl: string | null;
  readonly postgresUrl: string | null;
  /** Safe twice. */
  stop(): Promise<void>;
}

type Environment = Readonly<Record<string, string | undefined>>;

/** The servers that the environment names; what it does not name is started here, durable. */
export async function openServers(
  env: Environment,
  show: (what: string) => { done(): void },
): Promise<DemoServers> {
  const names = [
    ...(isGiven(env, 'REDIS_URL') ? [] : ['Redis']),
    ...(isGiven(env, 'POSTGRES_URL') ? [] : ['PostgreSQL']),
  ];
  const waiting = names.length === 0 ? null : show(`starting ${names.join(' and ')}`);
  const [redis, postgres] = await Promise.allSettled([
    isGiven(env, 'REDIS_URL') ? null : startRedis({ durability: 'real' }),
    isGiven(env, 'POSTGRES_URL') ? null : startPostgres({ durability: 'real' }),
  ]);
  waiting?.done();
  const stop = async () => {
    for (const server of [redis, postgres]) {
      if (server.status === 'fulfilled') await server.value?.stop();
    }
  };
  if (redis.status === 'rejected' || postgres.status === 'rejected') {
    await stop();
    throw withAdvice([redis, postgres].find((server) => server.status === 'rejected')?.reason);
  }
  return { redisUrl: redis.value?.url ?? null, postgresUrl: postgres.value?.url ?? null, stop };
}

/** The servers' own message says what is missing, not which variables replace it here. */
function withAdvice(reason: unknown): unknown {
  if (!(reason instanceof ServerError) || reason.code !== 'no_program') return reason;
  const message = `${reason.message}; or set REDIS_URL and POSTGRES_URL to use running servers`;
  return new Error(message, { cause: reason });
}

function isGiven(env: Environment, name: string): boolean {
  return Boolean(env[name] || env[`${name}_FILE`]);
}

/** Whether the server offers the extension. */
export async function offersTimescaledb(url: string): Promise<boolean> {
  const row = await askPostgres<{ offered: boolean }>(
    url,
    "SELECT EXISTS (SELECT FROM pg_available_extensions WHERE name = 'timescaledb') AS offered",
  );
  return row?.offered ?? false;
}

const CONNECT_TIMEOUT_MS = 5_000;
const COMMAND_TIMEOUT_MS = 30_000;

/** One connection for feeding, watching and checking. It never resends a command. */
export async function openDemoRedis(servers: ServerOptions, key: string): Promise<Redis> {
  const redis = openClient(createPrimaryFinder(servers), key, {
    connectionName: 'processor:demo',
    connectTimeout: CONNECT_TIMEOUT_MS,
    commandTimeout: COMMAND_TIMEOUT_MS,
    lazyConnect: true,
    protocol: 2,
    autoResendUnfulfilledCommands: false,
    maxRetriesPerRequest: 0,
    retryStrategy: () => null,
  });
  let reason = 'no answer';
  redis.on('error', (error) => {
    reason = error.message;
  });
  try {
    await redis.connect();
  } catch (cause) {
    throw new Error(`no connection to Redis: ${reason}`, { cause });
  }
  return redis;
}

/**
 * The stream for this run: the configured one if it does not exist yet, else one of the demo's
 * own beside it. An existing stream may be in use.
 */
export async function chooseStream(
  redis: Redis,
  configured: { readonly key: string; readonly deadLetterKey: string },
  unique: string,
): Promise<{ readonly key: string; readonly deadLetterKey: string }> {
  if ((await redis.exists(configured.key, configured.deadLetterKey)) === 0) return configured;
  const key = `${configured.key}:demo:${unique}`;
  return { key, deadLetterKey: `${key}:dlq` };
}
