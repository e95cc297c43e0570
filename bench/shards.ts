import { readFileSync } from 'node:fs';
import { setTimeout } from 'node:timers/promises';
import { Redis } from 'ioredis';
import { startPostgres, startRedis } from '../tools/servers/servers.ts';
import { startService } from '../tools/service.ts';

/**
 * What an idle instance needs with many shards on one Redis: connections, resident memory, and CPU of
 * its own and of Redis. Run it with `node bench/shards.ts`; decision 0061 has the results.
 */
const counts = [null, 1, 8, 64] as const;
const settleMs = 8000;
const measuredMs = 20_000;

const redis = await startRedis();
const postgres = await startPostgres();
const client = new Redis(redis.url);
try {
  for (const shards of counts) {
    await client.flushall();
    const service = startService({
      REDIS_URL: redis.url,
      POSTGRES_URL: postgres.url,
      CONSUMER_NAME: `shards-${shards ?? 'none'}`,
      ...(shards !== null && { STREAM_SHARDS: String(shards) }),
    });
    await service.untilReady();
    await setTimeout(settleMs);
    const before = { own: cpuMs(service.process.pid), redis: await redisCpuMs() };
    await setTimeout(measuredMs);
    const seconds = measuredMs / 1000;
    const clients = String(await client.client('LIST'));
    const line = {
      shards,
      redisConnections: clients.match(/name=processor:/g)?.length,
      rssMb: Math.round(rssKb(service.process.pid) / 1024),
      cpuMsASecond: Math.round((cpuMs(service.process.pid) - before.own) / seconds),
      redisCpuMsASecond: Math.round(((await redisCpuMs()) - before.redis) / seconds),
    };
    process.stdout.write(`${JSON.stringify(line)}\n`);
    await service.end('SIGTERM');
  }
} finally {
  client.disconnect();
  await postgres.stop();
  await redis.stop();
}

/** CPU time of a process from /proc; a tick is 10 ms. */
function cpuMs(pid: number | undefined): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ').at(-1)?.split(' ') ?? [];
  return (Number(fields[11]) + Number(fields[12])) * 10;
}

function rssKb(pid: number | undefined): number {
  return Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]);
}

async function redisCpuMs(): Promise<number> {
  const info = await client.info('cpu');
  const of = (name: string) => Number(new RegExp(`^${name}:([\\d.]+)`, 'm').exec(info)?.[1]) * 1000;
  return of('used_cpu_user') + of('used_cpu_sys');
}
