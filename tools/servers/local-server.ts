import { open, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { SystemUser } from './guard-protocol.ts';
import { type Guard, type GuardedRun, openGuard } from './guarded.ts';
import { freePort } from './ports.ts';
import { allGone, killTree, processTree, sendSignal } from './process-tree.ts';
import { ServerError } from './server-error.ts';
import { discardedPrefix, temporaryPrefix } from './system-user.ts';

export interface RunningServer {
  readonly url: string;
  readonly how: 'given' | 'container' | 'local';
  /** Safe twice. */
  stop(): Promise<void>;
}

/** A server process of our own. It ends with this process, also when that is killed -9. */
export interface LocalServer extends RunningServer {
  readonly how: 'local';
  readonly port: number;
  /** Of the main process; another one after `restart`. */
  readonly pid: number;
  /** The folder with its data and its log `server.log`. */
  readonly dir: string;
  /**
   * SIGKILL, SIGSTOP and SIGCONT reach the server and all its processes, other signals the main
   * process alone. A signal that ends it is waited for, at most 30 s (PostgreSQL takes SIGTERM as
   * "when the last client has gone", SIGINT as "now").
   * @throws ServerError `still_running`
   */
  kill(signal: NodeJS.Signals): Promise<void>;
  /** Ends it in order if it runs and starts it on the same port and data. */
  restart(): Promise<void>;
}

/** What differs between the servers. */
export interface ServerRecipe {
  readonly name: 'redis' | 'postgres' | 'pgbouncer';
  /** Kept by `stop`; without it a fresh folder, removed by `stop`. */
  readonly dir: string | undefined;
  readonly port: number | undefined;
  /** null: our own user. */
  readonly user: SystemUser | null;
  /** Whether its data may lie in memory: only for a test, and without `dir`. */
  readonly isDiscarded?: boolean;
  /** Ends the server in order, clients or not. */
  readonly endSignal: NodeJS.Signals;
  /** Ends it fast: its data is not needed any more. */
  readonly lastSignal: NodeJS.Signals;
  /** Makes the data directory inside `dir`. */
  prepare(guard: Guard, dir: string): Promise<PreparedServer>;
}

export interface PreparedServer {
  launch(port: number): { readonly command: string; readonly args: readonly string[] };
  url(port: number): string;
  /** Resolves when this very process answers at the address, else rejects. */
  check(url: string, run: GuardedRun): Promise<void>;
  /** Where PostgreSQL notes its shared memory. */
  readonly postmasterPid?: string;
}

const readyMs = 60_000;
const endMs = 30_000;
const pauseMs = 25;
const portAttempts = 10;
const restartAttempts = 100;
const restartPauseMs = 100;
const logTailBytes = 4_096;
const endingSignals: readonly NodeJS.Signals[] = ['SIGKILL', 'SIGTERM', 'SIGINT', 'SIGQUIT'];

/**
 * The port was faster taken by another, or processes of the predecessor that was killed -9 still
 * hold its shared memory: another attempt helps.
 */
const passing = /Address already in use|pre-existing shared memory block/;

/** What every launch of one server has in common. */
interface Place {
  readonly recipe: ServerRecipe;
  readonly prepared: PreparedServer;
  readonly guard: Guard;
  readonly dir: string;
  readonly stop: (server: LocalServer) => Promise<void>;
}

/** @throws ServerError `start_failed` with the end of the server's log */
export async function startLocal(recipe: ServerRecipe): Promise<LocalServer> {
  const prefix = recipe.isDiscarded === true ? discardedPrefix : temporaryPrefix;
  const guard = await openGuard(prefix(recipe.name), recipe.user);
  const dir = recipe.dir ?? guard.folder;
  try {
    return await startUnder(guard, recipe, dir, () => guard.close());
  } catch (error) {
    await guard.close();
    throw error;
  }
}

/**
 * Starts one server of a set whose guard belongs to all of them: closing the guard ends the set.
 * `dir` is the server's own folder inside the guard's.
 * @throws ServerError `start_failed` with the end of the server's log
 */
export function startMember(guard: Guard, recipe: ServerRecipe, dir: string): Promise<LocalServer> {
  return startUnder(guard, recipe, dir, (server) => server.kill(recipe.lastSignal));
}

async function startUnder(
  guard: Guard,
  recipe: ServerRecipe,
  dir: string,
  stop: (server: LocalServer) => Promise<void>,
): Promise<LocalServer> {
  const place: Place = { recipe, prepared: await recipe.prepare(guard, dir), guard, dir, stop };
  const { run, port } = await launchOnFreePort(place);
  return localServer(place, port, run);
}

function localServer(place: Place, port: number, firstRun: GuardedRun): LocalServer {
  const { recipe, dir } = place;
  let run = firstRun;

  async function kill(signal: NodeJS.Signals): Promise<void> {
    if (run.hasEnded()) return;
    if (signal === 'SIGKILL') await killTree(run.pid);
    else await signalServer(recipe.name, run.pid, signal);
    if (endingSignals.includes(signal)) await run.ended;
  }

  async function restart(): Promise<void> {
    await kill('SIGCONT');
    await kill(recipe.endSignal);
    run = await retried(restartAttempts, restartPauseMs, () => launch(place, port));
  }

  const server: LocalServer = {
    url: place.prepared.url(port),
    how: 'local',
    port,
    dir,
    get pid() {
      return run.pid;
    },
    kill,
    restart,
    stop: () => place.stop(server),
  };
  return server;
}

async function signalServer(name: string, pid: number, signal: NodeJS.Signals): Promise<void> {
  const tree = processTree(pid);
  const reachesAll = signal === 'SIGSTOP' || signal === 'SIGCONT';
  sendSignal(reachesAll ? tree : [pid], signal);
  if (!endingSignals.includes(signal)) return;
  if (await allGone(tree, endMs)) return;
  throw new ServerError(
    'still_running',
    `${name} still runs ${endMs / 1_000} s after ${signal}; is it stopped, or has it clients?`,
  );
}

async function launchOnFreePort(place: Place): Promise<{ run: GuardedRun; port: number }> {
  const wanted = place.recipe.port;
  return await retried(wanted === undefined ? portAttempts : 1, 0, async () => {
    const port = wanted ?? (await freePort());
    return { run: await launch(place, port), port };
  });
}

async function retried<T>(
  attempts: number,
  delayMs: number,
  attempt: () => Promise<T>,
): Promise<T> {
  for (let number = 1; ; number += 1) {
    try {
      return await attempt();
    } catch (error) {
      const again = error instanceof ServerError && passing.test(error.message);
      if (!again || number >= attempts) throw error;
    }
    await sleep(delayMs);
  }
}

/** Starts the server's process and waits until it answers. */
async function launch({ recipe, prepared, guard, dir }: Place, port: number): Promise<GuardedRun> {
  const log = serverLog(dir);
  const logStart = await sizeOf(log);
  const run = await guard.run({
    ...prepared.launch(port),
    cwd: dir,
    log,
    user: recipe.user,
    // A folder that stays is worth an end in order.
    lastSignal: recipe.dir === undefined ? recipe.lastSignal : recipe.endSignal,
    postmasterPid: prepared.postmasterPid ?? null,
  });
  const failure = await firstAnswer(run, () => prepared.check(prepared.url(port), run));
  if (failure === null) return run;
  await killTree(run.pid);
  const tail = await logTail(log, logStart);
  throw new ServerError('start_failed', `${recipe.name} ${failure.message}; its log: ${tail}`, {
    cause: failure.cause,
  });
}

/** Asks until the server answers, ends or has had its time; null when it answered. */
async function firstAnswer(run: GuardedRun, check: () => Promise<void>): Promise<Error | null> {
  const deadline = performance.now() + readyMs;
  for (;;) {
    let cause: unknown;
    try {
      await check();
      if (!run.hasEnded()) return null;
    } catch (error) {
      cause = error;
    }
    if (run.hasEnded()) return new Error('ended while starting', { cause });
    if (performance.now() > deadline) {
      return new Error(`did not answer within ${readyMs / 1_000} s`, { cause });
    }
    await sleep(pauseMs);
  }
}

export function serverLog(dir: string): string {
  return join(dir, 'server.log');
}

async function sizeOf(path: string): Promise<number> {
  try {
    return (await stat(path)).size;
  } catch {
    return 0;
  }
}

/** The end of the log, no more than 4 KiB of it and nothing before `start`. */
export async function logTail(path: string, start = 0): Promise<string> {
  const size = await sizeOf(path);
  const from = Math.max(start, size - logTailBytes);
  if (size <= from) return '(empty)';
  const file = await open(path, 'r');
  try {
    const { buffer, bytesRead } = await file.read(Buffer.alloc(size - from), 0, size - from, from);
    return buffer.toString('utf8', 0, bytesRead).trim();
  } finally {
    await file.close();
  }
}
