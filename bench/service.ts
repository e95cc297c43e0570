import type { Redis } from 'ioredis';
import { infoOf, numberOf } from '../src/stream/info.ts';
import { type RunningService, startService } from '../tools/service.ts';
import { streamKey } from './stand.ts';

export interface ServiceRun {
  readonly recordsPerSecond: number;
  /** Client CPU a record, microseconds, all instances together. */
  readonly cpuMicros: number;
  readonly residentMb: number;
}

/** NODE_OPTIONS of the image. */
export const imageOptions = '--enable-source-maps --max-semi-space-size=16';

type Environment = Readonly<Record<string, string>>;

/** Instances of the service, as their own processes, reading. */
export async function startInstances(
  env: Environment,
  count = 1,
  program?: string,
): Promise<RunningService[]> {
  const own = (index: number) => ({
    ...env,
    NODE_OPTIONS: `${imageOptions} ${env.NODE_OPTIONS ?? ''}`.trim(),
    REDIS_TELEMETRY_STREAM: streamKey,
    CONSUMER_NAME: `bench-${index}`,
  });
  const services = Array.from({ length: count }, (_, index) => startService(own(index), program));
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
    const field = await groupFields(redis);
    if (field('lag') === 0 && field('pending') === 0) return;
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

/** The numbers of one XINFO GROUPS; -1 while there is no group, or Redis does not know. */
export async function groupFields(redis: Redis): Promise<(name: string) => number> {
  const summary: unknown = await redis.xinfo('GROUPS', streamKey).catch(() => []);
  const info = infoOf(Array.isArray(summary) ? summary[0] : undefined);
  return (name) => numberOf(info.get(name)) ?? -1;
}

interface Expected {
  readonly records: number;
  readonly outcome?: 'inserted' | 'duplicate';
  /** Share of the entries that only warm the engine up; the counted ones come behind them. */
  readonly warmUp?: number;
  /** The built program of another commit. */
  readonly program?: string;
}

/** What the instances of a run have done so far, all together. */
interface Progress {
  readonly atMs: number;
  readonly cpuSeconds: number;
  readonly settled: number;
  readonly residentMb: number;
}

const usualWarmUp = 1 / 3;

/** The service end to end on a stream that was filled beforehand. */
export async function runService(
  redis: Redis,
  env: Environment,
  { records, outcome = 'inserted', warmUp = usualWarmUp, program }: Expected,
  count = 1,
): Promise<ServiceRun> {
  const entries = await redis.xlen(streamKey);
  const services = await startInstances(env, count, program);
  await untilRead(redis, entries * warmUp);
  const warm = await progressOf(services, outcome);
  await untilDrained(redis);
  const doneMs = Date.now();
  const done = await progressOf(services, outcome);
  for (const service of services) {
    const code = await service.end('SIGTERM');
    if (code !== 0) throw new Error(`an instance ended with ${code}`);
  }
  if (done.settled !== records) throw new Error(`settled ${done.settled} of ${records} records`);
  const counted = done.settled - warm.settled;
  return {
    recordsPerSecond: (counted * 1000) / (doneMs - warm.atMs),
    cpuMicros: ((done.cpuSeconds - warm.cpuSeconds) * 1e6) / counted,
    residentMb: done.residentMb,
  };
}

async function untilRead(redis: Redis, entries: number): Promise<void> {
  while ((await groupFields(redis))('entries-read') < entries) {
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

export async function progressOf(
  services: readonly RunningService[],
  outcome: 'inserted' | 'duplicate',
): Promise<Progress> {
  let cpuSeconds = 0;
  let settled = 0;
  let residentMb = 0;
  for (const service of services) {
    // One scrape: what is settled and what it cost belong together.
    const series = await service.metrics();
    cpuSeconds += series('process_cpu_seconds_total');
    settled += series(`processor_records_total{outcome="${outcome}"}`);
    residentMb = Math.max(residentMb, series('process_resident_memory_bytes') / 1e6);
  }
  return { atMs: Date.now(), cpuSeconds, settled, residentMb };
}
