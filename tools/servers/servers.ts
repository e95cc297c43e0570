/**
 * Real servers for the tests, the demo and the benchmark, on whatever machine. For Redis and for
 * PostgreSQL separately, the first of these that is there:
 *
 * 1. given: TEST_REDIS_URL, TEST_DATABASE_URL;
 * 2. a container, where a Docker engine answers;
 * 3. a local process of our own, from what is installed or what npm and apt-get bring.
 *
 * Nothing that is started here outlives the process that asked for it.
 */
import { askPostgres, askRedis, untilAnswered } from './ask.ts';
import { engineAnswers, postgresContainer, redisContainer } from './containers.ts';
import type { RunningServer } from './local-server.ts';
import { startPostgres } from './postgres.ts';
import { startRedis } from './redis.ts';

export type { LocalServer, RunningServer } from './local-server.ts';
export { type PostgresOptions, startPostgres } from './postgres.ts';
export { type RedisOptions, startRedis } from './redis.ts';
export { ServerError } from './server-error.ts';

export interface ProvideOptions {
  /** For what is started here; a given server is as durable as it is. */
  readonly durability?: 'test' | 'real';
}

const givenTimeoutMs = 10_000;

/** @throws ServerError `not_reachable`, `no_program`, `start_failed` */
export async function provideRedis(options: ProvideOptions = {}): Promise<RunningServer> {
  const { durability = 'test' } = options;
  const { TEST_REDIS_URL: given } = process.env;
  if (given) return await givenServer('TEST_REDIS_URL', given, () => askRedis(given));
  const container = await containerOrNull('Redis', () => redisContainer(durability));
  return container ?? (await startRedis({ durability }));
}

/**
 * TEST_POSTGRES_BIN chooses a local process, also where Docker runs.
 * @throws ServerError `not_reachable`, `no_program`, `start_failed`
 */
export async function providePostgres(options: ProvideOptions = {}): Promise<RunningServer> {
  const { durability = 'test' } = options;
  const { TEST_DATABASE_URL: given, TEST_POSTGRES_BIN: bin } = process.env;
  if (given) {
    return await givenServer('TEST_DATABASE_URL', given, () => askPostgres(given, 'SELECT 1'));
  }
  if (bin) return await startPostgres({ durability });
  const container = await containerOrNull('PostgreSQL', () => postgresContainer(durability));
  return container ?? (await startPostgres({ durability }));
}

async function givenServer(
  variable: string,
  url: string,
  ask: () => Promise<unknown>,
): Promise<RunningServer> {
  await untilAnswered(`the server that ${variable} names`, ask, givenTimeoutMs);
  return { url, how: 'given', stop: () => Promise.resolve() };
}

/** An engine without a way to the images must not keep anyone from testing. */
async function containerOrNull(
  name: string,
  start: () => Promise<RunningServer>,
): Promise<RunningServer | null> {
  if (!(await engineAnswers())) return null;
  try {
    return await start();
  } catch (error) {
    const reason = error instanceof Error ? error.message.split('\n')[0] : String(error);
    process.stderr.write(`test servers: no container for ${name} (${reason}); starting it here\n`);
    return null;
  }
}
