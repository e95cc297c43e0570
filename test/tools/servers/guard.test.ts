import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { expect, onTestFinished, test } from 'vitest';
import { askPostgres, askRedis } from '../../../tools/servers/ask.ts';
import { allGone, isAlive, processTree } from '../../../tools/servers/process-tree.ts';
import { startPostgres } from '../../../tools/servers/servers.ts';

const program = join(dirname(fileURLToPath(import.meta.url)), 'fixtures', 'owner.ts');
const goneMs = 20_000;

interface Place {
  readonly url: string;
  readonly pid: number;
  readonly dir: string;
}

interface Owner {
  readonly process: ChildProcess;
  readonly redis: Place;
  readonly postgres: Place;
  /** Settles when the owner and its guards, which share its standard error, are gone. */
  readonly closed: Promise<unknown>;
}

/** A process of its own that owns a Redis and a PostgreSQL. */
async function startOwner(): Promise<Owner> {
  const owner = spawn(process.execPath, [program], { stdio: ['pipe', 'pipe', 'pipe'] });
  onTestFinished(() => {
    owner.kill('SIGKILL');
  });
  const closed = once(owner, 'close');
  const [line] = await once(createInterface(owner.stdout), 'line');
  const [redis, postgres]: [Place, Place] = JSON.parse(String(line));
  return { process: owner, redis, postgres, closed };
}

function processesOf({ redis, postgres }: Owner): readonly number[] {
  return [...processTree(redis.pid), ...processTree(postgres.pid)];
}

test('kill -9 of the owner leaves no server process and no folder behind', async () => {
  const owner = await startOwner();
  const processes = processesOf(owner);
  expect(processes.length).toBeGreaterThan(4);

  owner.process.kill('SIGKILL');
  await owner.closed;

  expect(await allGone(processes, goneMs)).toBe(true);
  expect(existsSync(owner.redis.dir)).toBe(false);
  expect(existsSync(owner.postgres.dir)).toBe(false);
});

test('kill -9 of the owner ends stopped servers too', async () => {
  const owner = await startOwner();
  const processes = processesOf(owner);
  // PostgreSQL starts and ends workers of its own: one that is gone by now needs no stopping.
  for (const pid of processes.filter(isAlive)) stopIfThere(pid);

  owner.process.kill('SIGKILL');
  await owner.closed;

  expect(await allGone(processes, goneMs)).toBe(true);
});

test('an owner that ends in order leaves nothing behind', async () => {
  const owner = await startOwner();
  const processes = processesOf(owner);

  owner.process.stdin?.end();
  await owner.closed;

  expect(owner.process.exitCode).toBe(0);
  expect(processes.filter(isAlive)).toEqual([]);
  expect(existsSync(owner.redis.dir) || existsSync(owner.postgres.dir)).toBe(false);
});

test('two owners side by side have servers of their own, and outlive each other', async () => {
  const [first, second] = await Promise.all([startOwner(), startOwner()]);
  const urls = [first, second].flatMap(({ redis, postgres }) => [redis.url, postgres.url]);
  expect(new Set(urls).size).toBe(4);

  first.process.kill('SIGKILL');
  await first.closed;

  expect(await askRedis(second.redis.url)).toMatchObject({ pid: second.redis.pid });
  expect(await askPostgres(second.postgres.url, 'SELECT 1 AS one')).toEqual({ one: 1 });
});

test('stop ends the server and removes its folder, also when the guard was killed', async () => {
  const server = await startPostgres();
  const processes = processTree(server.pid);
  process.kill(parentOf(server.pid), 'SIGKILL');

  await server.stop();

  expect(processes.filter(isAlive)).toEqual([]);
  expect(existsSync(server.dir)).toBe(false);
});

function parentOf(pid: number): number {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  return Number(/^PPid:\s+(\d+)$/m.exec(status)?.[1]);
}

function stopIfThere(pid: number): void {
  try {
    process.kill(pid, 'SIGSTOP');
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'ESRCH')) throw error;
  }
}
