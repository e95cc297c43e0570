import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { type Ended, openGuard } from '../../servers/guarded.ts';
import { freePort } from '../../servers/ports.ts';
import { temporaryPrefix } from '../../servers/system-user.ts';
import type { ComposeService } from './read.ts';

const execFileText = promisify(execFile);

export interface ComposeRedis {
  readonly port: number;
  readonly ended: Promise<Ended>;
  /** What the service's own check says. */
  isHealthy(): Promise<boolean>;
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
  const run = await guard.run({
    command: `/bin/${shell}`,
    args: args.map(here),
    cwd: guard.folder,
    log: join(guard.folder, 'redis.log'),
    user: null,
    lastSignal: 'SIGKILL',
    postmasterPid: null,
  });
  return {
    port,
    ended: run.ended,
    isHealthy: () =>
      execFileText('/bin/sh', ['-c', here(check)]).then(
        () => true,
        () => false,
      ),
    close: guard.close,
  };
}
