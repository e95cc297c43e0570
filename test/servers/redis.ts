import { mkdir } from 'node:fs/promises';
import { askRedis } from './ask.ts';
import { type LocalServer, startLocal } from './local-server.ts';
import { findProgram, installPackage } from './programs.ts';
import { ServerError } from './server-error.ts';

export interface RedisOptions {
  /**
   * 'test' keeps nothing on disk and is empty after a restart. 'real' appends to a file, synced
   * every second: a kill -9 loses nothing that was acknowledged.
   */
  readonly durability?: 'test' | 'real';
  readonly port?: number;
  /** Kept when the server stops; by default a fresh folder that is removed. */
  readonly dir?: string;
  /** Further arguments of redis-server; the last one of a name counts. */
  readonly args?: readonly string[];
}

const durabilityArgs = {
  test: ['--save', '', '--appendonly', 'no'],
  real: ['--save', '', '--appendonly', 'yes', '--appendfsync', 'everysec'],
} as const;

/** The settings of ours that hold for a process and for a container alike. */
export function redisArgs(durability: 'test' | 'real'): readonly string[] {
  return [...durabilityArgs[durability], '--maxmemory-policy', 'noeviction'];
}

/**
 * Starts a Redis of its own on 127.0.0.1, without a password.
 * @throws ServerError `no_program`, `start_failed`
 */
export async function startRedis(options: RedisOptions = {}): Promise<LocalServer> {
  const { durability = 'test', args = [] } = options;
  const command = await redisProgram();
  return await startLocal({
    name: 'redis',
    dir: options.dir,
    port: options.port,
    user: null,
    endSignal: 'SIGTERM',
    lastSignal: 'SIGKILL',
    async prepare(_guard, dir) {
      await mkdir(dir, { recursive: true });
      const fixed = ['--bind', '127.0.0.1', '--dir', dir, ...redisArgs(durability), ...args];
      return {
        launch: (port) => ({ command, args: ['--port', String(port), ...fixed] }),
        url: (port) => `redis://127.0.0.1:${port}`,
        async check(url, run) {
          const answer = await askRedis(url);
          if (answer.pid !== run.pid) throw new Error(`another Redis answers at ${url}`);
        },
      };
    },
  });
}

async function redisProgram(): Promise<string> {
  const find = () => findProgram('redis-server');
  const why =
    'no Redis for the tests: set TEST_REDIS_URL, start Docker, or install redis-server and run again';
  const found = find();
  if (found !== null) return found;
  await installPackage('redis-server', 'redis-server', why);
  const installed = find();
  if (installed === null) throw new ServerError('no_program', why);
  return installed;
}
