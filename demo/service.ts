import { cp, mkdtemp, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { variables } from '../src/config/variables.ts';
import { type Ended, type GuardedRun, openGuard } from '../tools/servers/guarded.ts';
import { temporaryPrefix } from '../tools/servers/system-user.ts';

export interface ServiceProcess {
  readonly pid: number;
  /** Where it serves /metrics and /health. */
  readonly origin: string;
  hasEnded(): boolean;
  /** SIGTERM, then waits. @throws when it has not ended after `timeoutMs` */
  stop(timeoutMs: number): Promise<Ended>;
  /** Keeps the log beyond `close` and answers its path. */
  keepLog(): Promise<string>;
  /** Ends it if it runs and removes its folder. Safe twice. */
  close(): Promise<void>;
}

type Environment = Readonly<Record<string, string | undefined>>;

const root = fileURLToPath(new URL('..', import.meta.url));
const READY_PAUSE_MS = 100;
const HEALTH_TIMEOUT_MS = 2_000;

/**
 * Starts `src/processor.ts run` as a process of its own, which ends with this one, however this
 * one ends. Its environment goes through a file that only its user can read, because a command
 * line is everybody's to see.
 */
export async function startService(env: Environment, port: number): Promise<ServiceProcess> {
  const guard = await openGuard(temporaryPrefix('demo'), null);
  try {
    const environment = join(guard.folder, 'service.env');
    const log = join(guard.folder, 'service.log');
    await writeFile(environment, environmentFile(env), { mode: 0o600 });
    const run = await guard.run({
      command: process.execPath,
      args: [`--env-file=${environment}`, join(root, 'src/processor.ts'), 'run'],
      cwd: root,
      log,
      user: null,
      lastSignal: 'SIGTERM',
      postmasterPid: null,
    });
    return {
      pid: run.pid,
      origin: `http://127.0.0.1:${port}`,
      hasEnded: run.hasEnded,
      stop: (timeoutMs) => stopRun(run, timeoutMs),
      async keepLog() {
        const kept = join(await mkdtemp(join(tmpdir(), 'processor-demo-log-')), 'service.log');
        await cp(log, kept);
        return kept;
      },
      close: guard.close,
    };
  } catch (error) {
    await guard.close();
    throw error;
  }
}

/** @throws when the service ends first, is not ready after `timeoutMs`, or the signal aborts */
export async function untilReady(
  service: ServiceProcess,
  timeoutMs: number,
  signal: AbortSignal,
): Promise<void> {
  const deadline = performance.now() + timeoutMs;
  let found = 'no answer';
  while (performance.now() < deadline) {
    signal.throwIfAborted();
    if (service.hasEnded()) throw new Error('the service ended while starting');
    try {
      const response = await fetch(`${service.origin}/health/ready`, {
        signal: AbortSignal.timeout(HEALTH_TIMEOUT_MS),
      });
      if (response.ok) return;
      found = await response.text();
    } catch (error) {
      found = error instanceof Error ? error.message : String(error);
    }
    await sleep(READY_PAUSE_MS);
  }
  throw new Error(`the service was not ready within ${timeoutMs / 1000} s: ${found}`);
}

async function stopRun(run: GuardedRun, timeoutMs: number): Promise<Ended> {
  if (!run.hasEnded()) process.kill(run.pid, 'SIGTERM');
  const late = sleep(timeoutMs, null, { ref: false });
  const ended = await Promise.race([run.ended, late]);
  if (ended === null) {
    throw new Error(`the service did not end within ${timeoutMs / 1000} s of SIGTERM`);
  }
  return ended;
}

/** Only what the service reads, in the syntax of Node's --env-file. */
function environmentFile(env: Environment): string {
  const names = Object.values(variables).flatMap(({ name }) => [name, `${name}_FILE`]);
  return names
    .flatMap((name) => {
      const value = env[name];
      return value ? [`${name}=${quoted(name, value)}\n`] : [];
    })
    .join('');
}

/** The format has no escapes: a value stands in quotes that it does not hold itself. */
function quoted(name: string, value: string): string {
  const quote = ["'", '"', '`'].find((mark) => !value.includes(mark));
  // In double quotes \n would become a line break.
  if (quote === undefined || (quote === '"' && value.includes('\\'))) {
    throw new Error(`${name} holds quotes that the demo cannot pass on; use ${name}_FILE`);
  }
  return `${quote}${value}${quote}`;
}
