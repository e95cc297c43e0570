/**
 * One Redis of a set of several, on 127.0.0.1, under the guard of the set. It has a configuration
 * file, so that what Sentinel changes (CONFIG REWRITE) outlives a restart.
 */
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { askRedis, askSentinel } from './ask.ts';
import type { Guard } from './guarded.ts';
import { type LocalServer, startMember } from './local-server.ts';
import { redisProgram } from './redis.ts';

export interface MemberOptions {
  readonly guard: Guard;
  /** Names the folder of its data, its configuration and its log `server.log`. */
  readonly name: string;
  /** 'sentinel' starts a Redis Sentinel instead. */
  readonly kind: 'redis' | 'sentinel';
  readonly password: string | undefined;
  /** Lines of its configuration file at the first start. */
  readonly lines: readonly string[];
}

/** @throws ServerError `no_program`, `start_failed` */
export async function startRedisMember(options: MemberOptions): Promise<LocalServer> {
  const { guard, name, kind, password, lines } = options;
  const command = redisProgram();
  const ask = kind === 'sentinel' ? askSentinel : askRedis;
  const login = password === undefined ? '' : `:${encodeURIComponent(password)}@`;
  const dir = join(guard.folder, name);
  const recipe = {
    name: 'redis',
    dir: undefined,
    port: undefined,
    user: null,
    endSignal: 'SIGTERM',
    lastSignal: 'SIGKILL',
    async prepare() {
      await mkdir(dir, { recursive: true });
      const file = join(dir, `${kind}.conf`);
      const all = ['bind 127.0.0.1', `dir ${dir}`, ...passwordLines(password), ...lines];
      await writeFile(file, `${all.join('\n')}\n`);
      const mode = kind === 'sentinel' ? ['--sentinel'] : [];
      return {
        launch: (port: number) => ({ command, args: [file, '--port', String(port), ...mode] }),
        url: (port: number) => `redis://${login}127.0.0.1:${port}`,
        async check(url: string, run: { readonly pid: number }) {
          const answer = await ask(url);
          if (answer.pid !== run.pid) throw new Error(`another ${kind} answers at ${url}`);
        },
      };
    },
  } as const;
  return await startMember(guard, recipe, dir);
}

function passwordLines(password: string | undefined): readonly string[] {
  return password === undefined ? [] : [`requirepass ${password}`];
}

/** Keeps what was acknowledged over a kill -9, and copies to a replica without the usual 5 s pause. */
export const memberSettings: readonly string[] = [
  'save ""',
  'appendonly yes',
  'appendfsync everysec',
  'maxmemory-policy noeviction',
  'repl-diskless-sync-delay 0',
];
