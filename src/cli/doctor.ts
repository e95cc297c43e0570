import type { Command } from 'commander';
import { usernameOf } from '../config/redis-url.ts';
import { asDependencyError } from '../db/errors.ts';
import { migrationsFolder } from '../db/migrations-folder.ts';
import { readMigrations } from '../db/migrator.ts';
import { isGroundCode } from '../stream/ground.ts';
import { asRedisError } from '../stream/redis.ts';
import { type Check, failure } from './doctor/check.ts';
import { checkDatabase } from './doctor/database.ts';
import { checkDomain } from './doctor/domain.ts';
import { checkRedis } from './doctor/redis.ts';
import { checkServers } from './doctor/servers.ts';
import { checkShards } from './doctor/shards.ts';
import { checkTopology } from './doctor/topology.ts';
import { type CliExit, type CliIo, cliExits, type OutputFlags, print } from './io.ts';
import { cliIo, type SetExitCode } from './options.ts';
import { printable } from './printable.ts';
import { forEachStream, type ShardFlags, sharded } from './shards.ts';
import { type Stores, withStores } from './stores.ts';

/** Registers `processor doctor`. */
export function register(command: Command, setExitCode: SetExitCode): void {
  sharded(command)
    .option('--json', 'print the result as one JSON line', false)
    .option('--strict', 'treat a warning as a failure', false)
    .addHelpText('after', '\nExit codes: 0 all is well, or only warnings; 1 a failure.')
    .action(async (flags: DoctorFlags) => setExitCode(await runDoctor(cliIo(), flags)));
}

export interface DoctorFlags extends OutputFlags, ShardFlags {
  readonly strict: boolean;
}

/**
 * `processor doctor`: checks what a deploy needs of Redis and the database, and changes nothing.
 * The configuration is checked when it is loaded.
 */
export function runDoctor(io: CliIo, flags: DoctorFlags): Promise<CliExit> {
  const check = async (stores: Stores) => {
    const checks = [
      ...(await redisChecks(stores)),
      ...(await checkTopology(
        stores.config.redis,
        stores.streams.map(({ stream }) => stream),
      )),
      ...(await databaseChecks(stores)),
      ...(await checkDomain(stores)),
    ];
    const width = Math.max(...checks.map(({ name }) => name.length));
    const lines = checks.map(
      ({ name, state, message }) =>
        `${state.padEnd(7)}  ${name.padEnd(width)}  ${printable(message)}`,
    );
    const isBad = ({ state }: Check) =>
      state === 'failure' || (flags.strict && state === 'warning');
    const isReady = !checks.some(isBad);
    print(io, flags, { ok: isReady, checks }, lines.join('\n'));
    return isReady ? cliExits.ok : cliExits.failed;
  };
  return withStores(io, check, flags);
}

async function redisChecks({ config, streams }: Stores): Promise<Check[]> {
  const username = usernameOf(config.redis.topology);
  if (config.shards !== null) return await checkShards(streams, username);
  try {
    const [checks = []] = await forEachStream(streams, async ({ stream, redis }) =>
      checkRedis(await redis(), stream, username),
    );
    return checks;
  } catch (error) {
    const { code, message } = asRedisError(error);
    return [failure(isGroundCode(code) ? 'redis role' : 'redis', message)];
  }
}

async function databaseChecks({ config, database }: Stores): Promise<Check[]> {
  const migrations = await readMigrations(migrationsFolder);
  const servers = await checkServers(config);
  try {
    const found = await database().use((client) => checkDatabase(client, config, migrations));
    return [...servers, ...found];
  } catch (error) {
    return [...servers, failure('database', asDependencyError(error).message)];
  }
}
