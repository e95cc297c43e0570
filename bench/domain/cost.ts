import { existsSync, readFileSync } from 'node:fs';

/** Nanoseconds a process has run on a CPU; null where the machine does not tell. */
export function cpuNsOf(pid: number): number | null {
  const path = `/proc/${pid}/schedstat`;
  if (!existsSync(path)) return null;
  return Number(readFileSync(path, 'utf8').split(' ')[0]);
}

/** CPU that a server process used meanwhile, milliseconds; wall time where that is not known. */
export async function serverMs(pid: number, work: () => Promise<unknown>): Promise<number> {
  const [began, before] = [performance.now(), cpuNsOf(pid)];
  await work();
  const after = cpuNsOf(pid);
  if (before === null || after === null) return performance.now() - began;
  return (after - before) / 1e6;
}
