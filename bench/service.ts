import type { Redis } from 'ioredis';
import { type RunningService, startService } from '../test/integration/service.ts';
import { streamKey } from './stand.ts';

export interface ServiceRun {
  readonly recordsPerSecond: number;
  /** Client CPU a record from the first read on, microseconds, all instances together. */
  readonly cpuMicros: number;
  readonly residentMb: number;
}

type Environment = Readonly<Record<string, string>>;

/** Instances of the service, as their own processes, reading. */
export async function startInstances(env: Environment, count = 1): Promise<RunningService[]> {
  const services = Array.from({ length: count }, (_, index) =>
    startService({ ...env, REDIS_TELEMETRY_STREAM: streamKey, CONSUMER_NAME: `bench-${index}` }),
  );
  for (const service of services) await beganAt(service);
  return services;
}

/** When the service began to read, epoch milliseconds, by its own log. */
export async function beganAt(service: RunningService): Promise<number> {
  for (;;) {
    const line = service.logs.find(({ msg }) => msg === 'reading begins');
    if (line !== undefined) return Date.parse(String(line.ts));
    if (service.process.exitCode !== null) throw new Error(`did not start: ${service.stderr()}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

/** Waits until everything in the stream was delivered and acknowledged. */
export async function untilDrained(redis: Redis): Promise<void> {
  for (;;) {
    const summary: unknown = await redis.xinfo('GROUPS', streamKey).catch(() => []);
    const group: unknown = Array.isArray(summary) ? summary[0] : undefined;
    if (Array.isArray(group)) {
      const field = (name: string) => group[group.indexOf(name) + 1];
      if (field('lag') === 0 && field('pending') === 0) return;
    }
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

/** The service end to end on a stream that was filled beforehand. */
export async function runService(
  redis: Redis,
  env: Environment,
  expected: { readonly records: number; readonly outcome?: 'inserted' | 'duplicate' },
  count = 1,
): Promise<ServiceRun> {
  const services = await startInstances(env, count);
  const first = services[0];
  if (first === undefined) throw new RangeError('no instance');
  const began = await beganAt(first);
  let cpu = 0;
  for (const service of services) cpu -= await service.metric('process_cpu_seconds_total');
  await untilDrained(redis);
  const seconds = (Date.now() - began) / 1000;
  let settled = 0;
  let residentMb = 0;
  for (const service of services) {
    cpu += await service.metric('process_cpu_seconds_total');
    residentMb = Math.max(
      residentMb,
      (await service.metric('process_resident_memory_bytes')) / 1e6,
    );
    const outcome = expected.outcome ?? 'inserted';
    settled += await service.metric(`processor_records_total{outcome="${outcome}"}`);
    const code = await service.end('SIGTERM');
    if (code !== 0) throw new Error(`an instance ended with ${code}`);
  }
  if (settled !== expected.records) {
    throw new Error(`settled ${settled} of ${expected.records} records`);
  }
  return {
    recordsPerSecond: expected.records / seconds,
    cpuMicros: (cpu * 1e6) / expected.records,
    residentMb,
  };
}
