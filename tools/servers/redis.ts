import { mkdir } from 'node:fs/promises';
import { askRedis } from './ask.ts';
import { type LocalServer, startLocal } from './local-server.ts';
import { findProgram } from './programs.ts';
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

/** The settings for a local process and for a container. */
export function redisArgs(durability: 'test' | 'real'): readonly string[] {
  return [...durabilityArgs[durability], '--maxmemory-policy', 'noeviction'];
}

/**
 * Starts a Redis of its own on 127.0.0.1, without a password.
 * @throws ServerError `no_program`, `start_failed`
 */
export async function startRedis(options: RedisOptions = {}): Promise<LocalServer> {
  const { durability = 'test', args = [] } = options;
  const command = redisProgram();
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

/** scripts/prepare.cjs has installed it, or has said how to. */
export function redisProgram(): string {
  const found = findProgram('redis-server');
  if (found !== null) return found;
  throw new ServerError('no_program', "no redis-server: install Debian's package redis-server");
}
