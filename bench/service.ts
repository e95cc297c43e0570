import type { Redis } from 'ioredis';
import { startService } from '../test/integration/service.ts';

export interface ServiceRun {
  readonly recordsPerSecond: number;
  /** Client CPU a record, microseconds. */
  readonly cpuMicros: number;
}

/** The service end to end, as its own process, on a stream that is filled beforehand. */
export async function runService(
  redis: Redis,
  env: Readonly<Record<string, string>>,
  records: number,
): Promise<ServiceRun> {
  const service = startService({ ...env, REDIS_TELEMETRY_STREAM: 'bench', LOG_LEVEL: 'info' });
  const began = await untilLogged(service.logs, 'reading begins');
  const cpuBefore = await service.metric('process_cpu_seconds_total');
  for (;;) {
    const summary = await redis.xinfo('GROUPS', 'bench').catch(() => []);
    const group = Array.isArray(summary) && Array.isArray(summary[0]) ? summary[0] : [];
    const field = (name: string) => group[group.indexOf(name) + 1];
    if (field('lag') === 0 && field('pending') === 0) break;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  const seconds = (Date.now() - began) / 1000;
  const cpu = (await service.metric('process_cpu_seconds_total')) - cpuBefore;
  const stored = await service.metric('processor_records_total{outcome="inserted"}');
  const code = await service.end('SIGTERM');
  if (stored !== records || code !== 0) {
    throw new Error(`stored ${stored} of ${records}, exit ${code}`);
  }
  return { recordsPerSecond: records / seconds, cpuMicros: (cpu * 1e6) / records };
}

async function untilLogged(
  logs: readonly { readonly msg: string; readonly [field: string]: unknown }[],
  msg: string,
): Promise<number> {
  for (;;) {
    const line = logs.find((candidate) => candidate.msg === msg);
    if (line !== undefined) return Date.parse(String(line.ts));
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}
