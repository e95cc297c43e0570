/** The Redis servers and the sentinels of compose.ha.yaml on this machine, by their own commands. */
import { execFile } from 'node:child_process';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { type Guard, openGuard } from '../../../tools/servers/guarded.ts';
import { freePort } from '../../../tools/servers/ports.ts';
import { temporaryPrefix } from '../../../tools/servers/system-user.ts';
import { eventually } from '../../../tools/service.ts';
import { type ComposeFile, type ComposeService, serviceOf } from './read.ts';

const execFileText = promisify(execFile);

export const composeServers = ['redis', 'redis-2', 'redis-3'] as const;
export const composeSentinels = ['sentinel-1', 'sentinel-2', 'sentinel-3'] as const;
type Name = (typeof composeServers)[number] | (typeof composeSentinels)[number];

export interface ComposeSentinels {
  portOf(name: Name): number;
  /** A text of the compose file, with this machine's places for those in the containers. */
  here(text: string): string;
  /** Runs redis-cli of the container. @returns what it prints */
  cli(name: Name, login: readonly string[], ...words: readonly string[]): Promise<string>;
  /** Each server has a folder in it, named like itself, with its data and `server.log`. */
  readonly folder: string;
  close(): Promise<void>;
}

/**
 * Starts them in the order of the compose file and waits for their health checks.
 * @param secrets the folder that stands for /run/secrets
 */
export async function startComposeSentinels(
  file: ComposeFile,
  secrets: string,
): Promise<ComposeSentinels> {
  const guard = await openGuard(temporaryPrefix('compose'), null);
  const names = [...composeServers, ...composeSentinels];
  const ports = new Map<string, number>(
    await Promise.all(names.map(async (name) => [name, await freePort()] as const)),
  );
  const portOf = (name: string) => {
    const port = ports.get(name);
    if (port === undefined) throw new RangeError(`the compose file has no ${name}`);
    return port;
  };
  /** A container has its own 6379 and its own /data; other containers are reached by their name. */
  const inContainer = (name: string, text: string) =>
    text
      .replaceAll('/run/secrets', secrets)
      .replaceAll('/data', join(guard.folder, name))
      .replaceAll(/(?:--port|-p) (6379|26379)/g, (option) =>
        option.replace(/\d+/, String(portOf(name))),
      )
      .replaceAll('--dir', '--bind 127.0.0.1 --dir')
      .replaceAll('replicaof redis 6379', `replicaof 127.0.0.1 ${portOf('redis')}`)
      .replaceAll('telemetry redis 6379', `telemetry 127.0.0.1 ${portOf('redis')}`)
      // Of --replica-announce-ip and `sentinel announce-ip`.
      .replaceAll('$NODE', '127.0.0.1');

  const startAll = (some: readonly string[]) =>
    Promise.all(
      some.map((name) =>
        startOne(guard, name, serviceOf(file, name), (text) => inContainer(name, text)),
      ),
    );
  try {
    await startAll(composeServers);
    await startAll(composeSentinels);
  } catch (error) {
    await guard.close();
    throw error;
  }
  return {
    portOf,
    here: (text) =>
      text
        .replaceAll('/run/secrets', secrets)
        .replaceAll(/(sentinel-\d):26379/g, (_, name) => `127.0.0.1:${portOf(name)}`),
    async cli(name, login, ...words) {
      const place = ['-h', '127.0.0.1', '-p', String(portOf(name))];
      return (await execFileText('redis-cli', [...place, ...login, ...words])).stdout.trim();
    },
    folder: guard.folder,
    close: guard.close,
  };
}

async function startOne(
  guard: Guard,
  name: string,
  { command: [shell = '', ...args] = [], environment = {}, healthcheck }: ComposeService,
  here: (text: string) => string,
): Promise<void> {
  if (healthcheck === undefined || !('test' in healthcheck)) throw new Error(`${name}: no check`);
  const [, check = ''] = healthcheck.test;
  const dir = join(guard.folder, name);
  await mkdir(dir);
  const set = Object.entries(environment).map(
    ([variable, value]) => `${variable}='${here(value)}'`,
  );
  const [options = '', script = ''] = args;
  const run = await guard.run({
    command: `/bin/${shell}`,
    args: [options, `${set.join('\n')}\n${here(script)}`],
    cwd: dir,
    log: join(dir, 'server.log'),
    user: null,
    lastSignal: 'SIGKILL',
    postmasterPid: null,
  });
  await eventually(`${name} is healthy`, () => {
    if (run.hasEnded()) throw new Error(`${name} ended`);
    return execFileText('/bin/sh', ['-c', here(check)]).then(
      () => true,
      () => undefined,
    );
  });
}
