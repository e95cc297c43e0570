import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { childEnvironment } from '../../../tools/child-environment.ts';
import { programFile } from '../../../tools/program.ts';
import type { ComposeService } from './read.ts';

const run = promisify(execFile);
const rolesFile = fileURLToPath(new URL('../../../deploy/sql/roles.sql', import.meta.url));

/** Where the servers of a compose file are on this machine, and the folder for /run/secrets. */
export interface Places {
  readonly secrets: string;
  readonly redisPort: number;
  readonly postgresPort: number;
}

/** A text of a compose file, with this machine's places for those in the containers. */
export function here(text: string, { secrets, redisPort, postgresPort }: Places): string {
  return text
    .replaceAll('/run/secrets', secrets)
    .replaceAll('/roles.sql', rolesFile)
    .replaceAll('@redis:6379', `@127.0.0.1:${redisPort}`)
    .replaceAll('@timescaledb:5432', `@127.0.0.1:${postgresPort}`)
    .replaceAll('--host=timescaledb', `--host=127.0.0.1 --port=${postgresPort}`);
}

/** The environment of a service, as it would be here. */
export function environmentHere(service: ComposeService, places: Places): Record<string, string> {
  const entries = Object.entries(service.environment ?? {});
  return Object.fromEntries(entries.map(([name, value]) => [name, here(value, places)]));
}

/** Runs entry point and command of a service to its end. @throws when it fails */
export async function runServiceHere(service: ComposeService, places: Places): Promise<void> {
  const words = [...(service.entrypoint ?? []), ...(service.command ?? [])];
  const [command = '', ...args] = words.map((word) => here(word, places));
  await run(command, args, {
    env: { ...childEnvironment(), ...environmentHere(service, places) },
    timeout: 30_000,
  });
}

/**
 * Runs a command of processor with the environment of a service, as `docker compose run` would.
 * @returns stdout @throws when it ends with another code than 0
 */
export async function runProcessorHere(
  service: ComposeService,
  places: Places,
  words: readonly string[],
): Promise<string> {
  // The PostgreSQL here may lack the extension, which the compose file's has.
  const env = {
    ...childEnvironment(),
    TIMESCALEDB: 'optional',
    ...environmentHere(service, places),
  };
  return (await run(process.execPath, [programFile(), ...words], { env, timeout: 30_000 })).stdout;
}
