import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Redis } from 'ioredis';
import { untilAnswered } from './ask.ts';
import { freePort } from './ports.ts';
import { findProgram } from './programs.ts';

export interface Sentinel {
  readonly url: string;
  stop(): Promise<void>;
}

/** A Redis Sentinel that watches the Redis at `port`, with further lines of its configuration. */
export async function startSentinel(
  port: number,
  further: readonly string[] = [],
): Promise<Sentinel> {
  const dir = await mkdtemp(join(tmpdir(), 'processor-sentinel-'));
  const own = await freePort();
  const file = join(dir, 'sentinel.conf');
  const lines = [`port ${own}`, 'bind 127.0.0.1', `dir ${dir}`, ...further];
  await writeFile(file, `${lines.join('\n')}\nsentinel monitor telemetry 127.0.0.1 ${port} 1\n`);
  const program = findProgram('redis-server');
  if (program === null) throw new Error('startRedis installs redis-server; start a Redis first');
  const child = spawn(program, [file, '--sentinel'], { stdio: 'ignore' });
  const ended = once(child, 'exit');
  const url = `redis://127.0.0.1:${own}`;
  await untilAnswered('the sentinel', () => ping(url), 10_000);
  return {
    url,
    async stop() {
      child.kill('SIGKILL');
      await ended;
      await rm(dir, { recursive: true });
    },
  };
}

/** A Sentinel has no `loading` in its INFO, as askRedis expects. */
async function ping(url: string): Promise<void> {
  const redis = new Redis(url, { lazyConnect: true, retryStrategy: () => null });
  // A failed connection also rejects `connect`; without a listener ioredis prints it.
  redis.on('error', () => {});
  try {
    await redis.connect();
    await redis.ping();
  } finally {
    redis.disconnect();
  }
}
