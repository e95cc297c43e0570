import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';

const pollMs = 20;
/** PostgreSQL itself sends SIGKILL to its processes 5 s into an immediate shutdown. */
const politeEndMs = 8_000;
const forcedEndMs = 5_000;

interface ProcessState {
  readonly state: string;
  readonly parent: number;
}

/** /proc/<pid>/stat, which everybody may read; null when there is no such process. */
function processState(pid: number): ProcessState | null {
  let stat: string;
  try {
    stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  } catch {
    return null;
  }
  // The command's name stands in parentheses and may itself hold spaces and parentheses.
  const [state = '', parent = ''] = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return { state, parent: Number(parent) };
}

/**
 * The process and all its descendants, parents first. PostgreSQL's processes each lead their own
 * process group, so that signalling one group would miss them. Empty when the process is gone;
 * the process alone where there is no /proc.
 */
export function processTree(root: number): readonly number[] {
  if (!isAlive(root)) return [];
  if (!existsSync('/proc/self/stat')) return [root];
  const parents = new Map<number, number>();
  for (const name of readdirSync('/proc')) {
    const pid = Number(name);
    const state = Number.isInteger(pid) ? processState(pid) : null;
    if (state !== null) parents.set(pid, state.parent);
  }
  const tree = [root];
  for (const member of tree) {
    for (const [pid, parent] of parents) if (parent === member) tree.push(pid);
  }
  return tree;
}

/** A zombie counts as gone: where process 1 does not reap, an orphan would stay one for ever. */
export function isAlive(pid: number): boolean {
  if (existsSync('/proc/self/stat')) {
    const state = processState(pid);
    return state !== null && state.state !== 'Z' && state.state !== 'X';
  }
  return sendSignal([pid], 0);
}

/** Signals each process that is still there; false when none was. */
export function sendSignal(pids: readonly number[], signal: NodeJS.Signals | 0): boolean {
  let reached = false;
  for (const pid of pids) {
    try {
      reached = process.kill(pid, signal) || reached;
    } catch (error) {
      if (!(error instanceof Error && 'code' in error && error.code === 'ESRCH')) throw error;
    }
  }
  return reached;
}

/** Waits until all are gone; false when one was still there after `timeoutMs`. */
export async function allGone(pids: readonly number[], timeoutMs: number): Promise<boolean> {
  const deadline = performance.now() + timeoutMs;
  while (pids.some(isAlive)) {
    if (performance.now() > deadline) return false;
    await sleep(pollMs);
  }
  return true;
}

/** kill -9 for the whole tree, as a machine that loses power would do it to a server. */
export async function killTree(root: number): Promise<void> {
  // A stopped root neither starts new processes nor reacts to the loss of its children.
  sendSignal([root], 'SIGSTOP');
  const tree = processTree(root);
  sendSignal(tree, 'SIGKILL');
  await allGone(tree, forcedEndMs);
}

/** Ends the tree with `signal`, also when it is stopped; kill -9 for what does not follow. */
export async function endTree(root: number, signal: NodeJS.Signals): Promise<void> {
  const tree = processTree(root);
  if (tree.length === 0) return;
  sendSignal(tree, 'SIGCONT');
  sendSignal([root], signal);
  if (await allGone(tree, politeEndMs)) return;
  await killTree(root);
  sendSignal(tree.filter(isAlive), 'SIGKILL');
  await allGone(tree, forcedEndMs);
}

/**
 * Removes the System V segment of a PostgreSQL that ended by kill -9: it alone would outlive the
 * data directory. Its id is the second number of line 7 of postmaster.pid (PostgreSQL's
 * miscadmin.h, LOCK_FILE_LINE_SHMEM_KEY); a clean end removes the file.
 */
export function removeSharedMemory(postmasterPid: string): void {
  if (!existsSync(postmasterPid)) return;
  const id = readFileSync(postmasterPid, 'utf8').split('\n')[6]?.trim().split(/\s+/)[1];
  if (id === undefined || !/^\d+$/.test(id)) return;
  try {
    execFileSync('ipcrm', ['-m', id], { stdio: 'ignore', timeout: forcedEndMs });
  } catch {
    // No ipcrm here, or the segment is gone already: 56 bytes that the kernel keeps until boot.
  }
}
