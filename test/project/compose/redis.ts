import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { type Ended, type GuardedRun, openGuard } from '../../../tools/servers/guarded.ts';
import { freePort } from '../../../tools/servers/ports.ts';
import { killTree, sendSignal } from '../../../tools/servers/process-tree.ts';
import { temporaryPrefix } from '../../../tools/servers/system-user.ts';
import type { ComposeService } from './read.ts';

const execFileText = promisify(execFile);

export interface ComposeRedis {
  readonly port: number;
  readonly ended: Promise<Ended>;
  /** What the service's own check says. */
  isHealthy(): Promise<boolean>;
  /** Ends it, and waits until it is gone: SIGTERM in order, SIGKILL at once. */
  end(signal: 'SIGTERM' | 'SIGKILL'): Promise<void>;
  /** Starts it again on the same port and data, as `restart: unless-stopped` does. */
  startAgain(): Promise<void>;
  close(): Promise<void>;
}

/**
 * The command of a compose file's Redis on this machine, with a port and folders of its own.
 * @param secrets the folder that stands for /run/secrets
 */
export async function startComposeRedis(
  service: ComposeService,
  secrets: string,
): Promise<ComposeRedis> {
  const { command: [shell = '', ...args] = [], healthcheck } = service;
  if (healthcheck === undefined || !('test' in healthcheck)) throw new Error('Redis has no check');
  const [kind, check = ''] = healthcheck.test;
  if (kind !== 'CMD-SHELL') throw new Error(`a check of another kind: ${kind}`);

  const guard = await openGuard(temporaryPrefix('compose'), null);
  const port = await freePort();
  const places: Readonly<Record<string, string>> = {
    '/run/secrets': secrets,
    '/data': guard.folder,
    'redis-cli': `redis-cli -p ${port}`,
    '--appendonly': `--bind 127.0.0.1 --port ${port} --appendonly`,
  };
  const here = (text: string) =>
    text.replace(
      /\/run\/secrets|\/data|redis-cli|--appendonly/g,
      (place) => places[place] ?? place,
    );
  const launch = (): Promise<GuardedRun> =>
    guard.run({
      command: `/bin/${shell}`,
      args: args.map(here),
      cwd: guard.folder,
      log: join(guard.folder, 'redis.log'),
      user: null,
      lastSignal: 'SIGKILL',
      postmasterPid: null,
    });
  let run = await launch();
  return {
    port,
    get ended() {
      return run.ended;
    },
    isHealthy: () =>
      execFileText('/bin/sh', ['-c', here(check)]).then(
        () => true,
        () => false,
      ),
    async end(signal) {
      if (signal === 'SIGKILL') await killTree(run.pid);
      else sendSignal([run.pid], signal);
      await run.ended;
    },
    async startAgain() {
      run = await launch();
    },
    close: guard.close,
  };
}
