import { type ChildProcess, fork } from 'node:child_process';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import {
  type GuardReport,
  type GuardRequest,
  isGuardReport,
  type SystemUser,
} from './guard-protocol.ts';
import { endTree } from './process-tree.ts';
import { ServerError } from './server-error.ts';

export interface RunOptions {
  readonly command: string;
  readonly args: readonly string[];
  readonly cwd: string;
  readonly log: string;
  readonly user: SystemUser | null;
  readonly lastSignal: NodeJS.Signals;
  /** Where PostgreSQL notes its shared memory; null for everything else. */
  readonly postmasterPid: string | null;
}

export interface Ended {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

export interface GuardedRun {
  readonly pid: number;
  /** Settles when the process is gone; never rejects. */
  readonly ended: Promise<Ended>;
  /** The same, to be asked at once. */
  hasEnded(): boolean;
}

export interface Guard {
  /** A fresh folder, removed with the guard; owned by the given user. */
  readonly folder: string;
  run(options: RunOptions): Promise<GuardedRun>;
  /** Ends what runs and removes the folder. Safe twice. */
  close(): Promise<void>;
}

interface PendingRun {
  readonly started: PromiseWithResolvers<number>;
  readonly ended: PromiseWithResolvers<Ended>;
}

/**
 * Starts a guard (guard.ts) with a fresh folder `<prefix>XXXXXX`. What it runs ends with this
 * process, however this process ends.
 */
export async function openGuard(prefix: string, user: SystemUser | null): Promise<Guard> {
  const guard = forkGuard();
  /** True when the guard ended in order, having ended and removed everything. */
  const exited = Promise.withResolvers<boolean>();
  const opened = Promise.withResolvers<string>();
  const runs = new Map<number, PendingRun>();

  guard.on('message', (message) => {
    if (isGuardReport(message)) settle(message, opened, runs);
  });
  const lost = (inOrder: boolean, cause?: Error) => {
    const error = new ServerError('guard_lost', 'the guard of a local server ended unasked', {
      cause,
    });
    opened.reject(error);
    for (const { started, ended } of runs.values()) {
      started.reject(error);
      ended.resolve({ code: null, signal: null });
    }
    exited.resolve(inOrder);
  };
  guard.once('error', (error) => lost(false, error));
  guard.once('exit', (code) => lost(code === 0));

  send(guard, { op: 'open', prefix, user });
  const folder = await opened.promise;
  const started: { readonly run: GuardedRun; readonly lastSignal: NodeJS.Signals }[] = [];

  async function run(options: RunOptions): Promise<GuardedRun> {
    const number = runs.size + 1;
    const pending: PendingRun = {
      started: Promise.withResolvers<number>(),
      ended: Promise.withResolvers<Ended>(),
    };
    runs.set(number, pending);
    send(guard, { op: 'run', run: number, ...options });
    const pid = await pending.started.promise;
    let hasEnded = false;
    const ended = pending.ended.promise.then((end) => {
      hasEnded = true;
      return end;
    });
    const guarded = { pid, ended, hasEnded: () => hasEnded };
    started.push({ run: guarded, lastSignal: options.lastSignal });
    return guarded;
  }

  async function close(): Promise<void> {
    if (guard.connected) guard.disconnect();
    if (await exited.promise) return;
    // The guard was itself killed, and its reports ended with it.
    for (const { run, lastSignal } of started) await endTree(run.pid, lastSignal);
    await rm(folder, { recursive: true, force: true });
  }

  let closed: Promise<void> | null = null;
  return {
    folder,
    run,
    close: () => {
      closed ??= close();
      return closed;
    },
  };
}

function forkGuard(): ChildProcess {
  const script = join(fileURLToPath(new URL('.', import.meta.url)), 'guard.ts');
  return fork(script, {
    detached: true,
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
    // Neither the test runner's loaders nor a debugger's port are for the guard.
    execArgv: [],
    env: { ...process.env, NODE_OPTIONS: '' },
  });
}

function send(guard: ChildProcess, request: GuardRequest): void {
  // A guard that is gone has emitted `exit`, which rejects pending requests.
  if (guard.connected) guard.send(request, () => {});
}

function settle(
  report: GuardReport,
  opened: PromiseWithResolvers<string>,
  runs: ReadonlyMap<number, PendingRun>,
): void {
  switch (report.event) {
    case 'opened':
      opened.resolve(report.folder);
      break;
    case 'open_failed':
      opened.reject(new ServerError('start_failed', report.message));
      break;
    case 'running':
      runs.get(report.run)?.started.resolve(report.pid);
      break;
    case 'run_failed':
      runs.get(report.run)?.started.reject(new ServerError('start_failed', report.message));
      break;
    case 'ended':
      runs.get(report.run)?.ended.resolve({ code: report.code, signal: report.signal });
      break;
  }
}
