/**
 * A process of its own beside the owner of a server (a test run, the demo, the benchmark). It
 * starts the server for the owner, and when the owner is gone, also by kill -9, it ends the server
 * and removes its folder: the owner's end closes the IPC channel, which nothing can prevent.
 * Requests are handled synchronously, so that no server is ever half started when that happens.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { chownSync, closeSync, mkdtempSync, openSync, rmSync } from 'node:fs';
import { type GuardReport, type GuardRequest, isGuardRequest } from './guard-protocol.ts';
import { endTree, removeSharedMemory } from './process-tree.ts';

type RunRequest = Extract<GuardRequest, { op: 'run' }>;
type OpenRequest = Extract<GuardRequest, { op: 'open' }>;

const running = new Map<ChildProcess, RunRequest>();
const postmasterPids = new Set<string>();
let folder: string | null = null;
let closing = false;

function report(message: GuardReport): void {
  // The owner may vanish between two messages; `disconnect` then does what is to be done.
  if (process.connected) process.send?.(message, () => {});
}

function textOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

function open(request: OpenRequest): void {
  try {
    folder = mkdtempSync(request.prefix);
    if (request.user !== null) chownSync(folder, request.user.uid, request.user.gid);
    report({ event: 'opened', folder });
  } catch (error) {
    report({ event: 'open_failed', message: textOf(error) });
  }
}

function run(request: RunRequest): void {
  const { PATH = '/usr/bin:/bin' } = process.env;
  let log: number | null = null;
  try {
    log = openSync(request.log, 'a');
    const child = spawn(request.command, [...request.args], {
      cwd: request.cwd,
      stdio: ['ignore', log, log],
      env: { PATH, LC_ALL: 'C', TZ: 'UTC' },
      // Its own session: a terminal's Ctrl-C is for the owner alone.
      detached: true,
      ...(request.user ?? {}),
    });
    watch(child, request);
  } catch (error) {
    report({ event: 'run_failed', run: request.run, message: textOf(error) });
  } finally {
    if (log !== null) closeSync(log);
  }
}

function watch(child: ChildProcess, request: RunRequest): void {
  child.once('error', (error) => {
    report({ event: 'run_failed', run: request.run, message: error.message });
  });
  if (child.pid === undefined) return;
  running.set(child, request);
  if (request.postmasterPid !== null) postmasterPids.add(request.postmasterPid);
  child.once('exit', (code, signal) => {
    running.delete(child);
    report({ event: 'ended', run: request.run, code, signal });
  });
  report({ event: 'running', run: request.run, pid: child.pid });
}

async function close(): Promise<void> {
  if (closing) return;
  closing = true;
  await Promise.all(
    [...running].map(([child, request]) =>
      child.pid === undefined ? null : endTree(child.pid, request.lastSignal),
    ),
  );
  for (const postmasterPid of postmasterPids) removeSharedMemory(postmasterPid);
  if (folder !== null) {
    rmSync(folder, { recursive: true, force: true, maxRetries: 20, retryDelay: 50 });
  }
  process.exit(0);
}

process.on('message', (message) => {
  if (closing || !isGuardRequest(message)) return;
  if (message.op === 'open') open(message);
  else run(message);
});
process.once('disconnect', () => void close());
for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) {
  process.on(signal, () => void close());
}
// The owner may have been gone before the first listener above was there.
if (!process.connected) await close();
