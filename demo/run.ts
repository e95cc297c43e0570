import { readFileSync } from 'node:fs';
import { hostname } from 'node:os';
import type { Writable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Redis } from 'ioredis';
import { showProgress } from '../scripts/prepare/progress.mjs';
import { type Config, formatProblems, loadConfig } from '../src/config/load.ts';
import { type CrossingLedger, createCrossingLedger } from '../src/simulator/crossing-ledger.ts';
import type { CrossingRules } from '../src/simulator/expected-crossings.ts';
import { feed } from '../src/simulator/feed.ts';
import { createFleet, type Fleet } from '../src/simulator/fleet.ts';
import { createLedger, type Ledger } from '../src/simulator/ledger.ts';
import { createSender } from '../src/simulator/sender.ts';
import { freePort } from '../tools/servers/ports.ts';
import { checkRun, type RunResult } from './check.ts';
import { prepareDomain, untilComputed } from './domain.ts';
import { scrape } from './metrics.ts';
import type { DemoOptions } from './options.ts';
import { createProgress, type Terminal } from './progress.ts';
import {
  chooseStream,
  type DemoServers,
  offersTimescaledb,
  openDemoRedis,
  openServers,
} from './servers.ts';
import { type ServiceProcess, startService, untilReady } from './service.ts';
import { untilSettled } from './settle.ts';

export interface DemoIo {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly stdout: Writable;
  readonly stderr: Writable;
  /** null: stdout is none. */
  readonly terminal: Terminal | null;
  /** Ends the run early and in order. */
  readonly signal: AbortSignal;
  /** Called when the service has stopped, before the ledger is checked; for tests. */
  readonly beforeCheck?: (place: { readonly databaseUrl: string }) => Promise<void>;
}

const READY_TIMEOUT_MS = 60_000;
/** Above the service's longest default drain. */
const STOP_GRACE_MS = 10_000;
const exitCodes = { clean: 0, failed: 1, interrupted: 130 } as const;

/**
 * Servers, service and a fleet for a bounded time; then what was sent is compared, record by
 * record, with what is stored. The last line on stdout is the account.
 * @returns the exit code: 0 when nothing is missing, doubled or unexpected
 */
export async function runDemo(options: DemoOptions, io: DemoIo): Promise<number> {
  const cleanup = new AsyncDisposableStack();
  let result: RunResult | null = null;
  let failure: unknown = null;
  try {
    result = await runOn(cleanup, options, io);
  } catch (error) {
    failure = error;
  }
  try {
    await cleanup.disposeAsync();
  } catch (error) {
    failure ??= error;
  }
  if (io.signal.aborted) {
    io.stderr.write('processor demo: interrupted; everything it started is stopped\n');
    return exitCodes.interrupted;
  }
  for (const problem of result?.problems ?? []) io.stderr.write(`processor demo: ${problem}\n`);
  if (failure !== null) {
    const message = failure instanceof Error ? failure.message : String(failure);
    io.stderr.write(`processor demo: ${message}\n`);
  }
  for (const line of result?.summary ?? []) io.stdout.write(`${line}\n`);
  return result?.clean === true && failure === null ? exitCodes.clean : exitCodes.failed;
}

async function runOn(
  cleanup: AsyncDisposableStack,
  options: DemoOptions,
  io: DemoIo,
): Promise<RunResult> {
  const { seed, devices } = options;
  const servers = await openServers(io.env, (what) => showWait(io, what));
  cleanup.defer(() => servers.stop());
  io.signal.throwIfAborted();

  const wanted = await environmentFor(servers, io.env);
  const { redis: redisServers, streams } = configure(wanted);
  const [wantedStream] = streams;
  const redis = await openDemoRedis(redisServers, wantedStream.key);
  cleanup.defer(() => redis.disconnect());
  const stream = await chooseStream(redis, wantedStream, String(seed));
  const fleet = createFleet({
    seed,
    devices,
    baseTime: Date.now(),
    form: 'mixed',
    packetRecords: 8,
    expectedRecords: options.seconds * options.rate + options.burst,
    drivesCircuits: true,
  });
  const hasDomain = await prepareDomain(configure(wanted).database.url, fleet.driving);
  const env = {
    ...wanted,
    REDIS_TELEMETRY_STREAM: stream.key,
    DEAD_LETTER_STREAM: stream.deadLetterKey,
    DOMAIN: hasDomain ? 'on' : 'off',
  };
  const config = configure(env);
  io.stdout.write(`processor demo: seed ${seed}, ${devices} devices, stream ${stream.key}\n`);
  const origin = (url: string | null) => (url === null ? 'given' : 'started here');
  io.stdout.write(
    `Redis ${origin(servers.redisUrl)}, PostgreSQL ${origin(servers.postgresUrl)}, ${table(config)}\n`,
  );
  io.stdout.write(`geofences ${describeDomain(hasDomain, fleet)}\n`);

  const service = await startService(env, config.http.port);
  cleanup.defer(() => service.close());
  const crossings = hasDomain ? createCrossingLedger(fleet.driving, rulesOf(config)) : null;
  const ledger = createLedger();
  const run: Run = { options, io, config, redis, fleet, service, ledger, crossings };
  try {
    const result = await runService(run);
    return result.clean ? result : withLog(result, await service.keepLog());
  } catch (error) {
    if (io.signal.aborted) throw error;
    const message = error instanceof Error ? error.message : String(error);
    throw new Error(`${message}; the service's log: ${await service.keepLog()}`, { cause: error });
  }
}

interface Run {
  readonly options: DemoOptions;
  readonly io: DemoIo;
  readonly config: Config;
  readonly redis: Redis;
  readonly fleet: Fleet;
  readonly service: ServiceProcess;
  readonly ledger: Ledger;
  /** Null: the domain is off. */
  readonly crossings: CrossingLedger | null;
}

/** From a starting service to the result of a stopped one. */
async function runService(run: Run): Promise<RunResult> {
  const { io, config, service } = run;
  const waiting = showWait(io, 'starting the service');
  await untilReady(service, READY_TIMEOUT_MS, io.signal).finally(() => waiting.done());
  await watched(run);
  const metrics = await settledMetrics(run);
  const ended = await service.stop(config.lifecycle.drainBudgetMs + STOP_GRACE_MS);
  await io.beforeCheck?.({ databaseUrl: config.database.url });
  io.signal.throwIfAborted();
  const crossings = run.crossings?.expected() ?? null;
  return await checkRun({ ...run, crossings, metrics, ended });
}

/** Sends at the rate, then flat out, then waits for the last acknowledgement; shows it all. */
async function watched(run: Run): Promise<void> {
  const { options, io, config, redis, fleet, service, ledger } = run;
  const planned = options.seconds * options.rate + options.burst;
  const progress = createProgress(io.stdout, io.terminal, performance.now());
  const [stream] = config.streams;
  let phase = 'sending';
  const show = async (expected: number) => {
    // A service that does not answer is shown as such; the waits below find out why.
    const metrics = await scrape(service.origin).catch(() => null);
    progress.show({ sent: ledger.totals.sent, expected, phase, metrics }, performance.now());
  };
  const shown = repeated(() => show(planned), progress.everyMs);
  const { signal } = io;
  const sender = createSender({
    open: () => redis.duplicate({ lazyConnect: true }).on('error', () => {}),
    stream: stream.key,
    onSent: (entry) => {
      ledger.add(entry);
      run.crossings?.add(entry);
    },
    signal,
  });
  const common = { sender, fleet, maxBacklog: null, signal };
  try {
    const { rate, seconds, burst } = options;
    await feed({ ...common, records: rate * seconds, durationMs: seconds * 1000, rate });
    phase = 'burst';
    if (burst > 0) await feed({ ...common, records: burst, durationMs: null, rate: null });
    phase = 'settling';
    await untilSettled({ redis, stream: stream.key, group: stream.group, service, signal });
    if (run.crossings !== null) {
      phase = 'finding crossings';
      await untilComputed({ databaseUrl: config.database.url, service, signal });
    }
  } finally {
    sender.close();
    await shown.stop();
  }
  // A slow machine sends fewer than planned: what was sent is all there is.
  phase = 'done';
  await show(ledger.totals.sent);
  progress.end();
}

function repeated(work: () => Promise<void>, everyMs: number): { stop(): Promise<void> } {
  const stopped = new AbortController();
  const loop = async () => {
    while (!stopped.signal.aborted) {
      await work();
      // Aborted while waiting: that is the end, not an error.
      await sleep(everyMs, null, { signal: stopped.signal }).catch(() => null);
    }
  };
  const running = loop();
  return {
    stop() {
      stopped.abort();
      return running;
    },
  };
}

const METRICS_TIMEOUT_MS = 5_000;
const METRICS_PAUSE_MS = 100;

/** The service's own account; asked again for a moment, because it counts after it acknowledges. */
async function settledMetrics({ service, ledger, io }: Run) {
  const deadline = performance.now() + METRICS_TIMEOUT_MS;
  for (;;) {
    io.signal.throwIfAborted();
    const metrics = await scrape(service.origin);
    const settled = Object.values(metrics.records).reduce((sum, count) => sum + count, 0);
    if (settled === ledger.totals.sent || performance.now() > deadline) return metrics;
    await sleep(METRICS_PAUSE_MS);
  }
}

type Environment = Readonly<Record<string, string | undefined>>;

/** The service's environment: the caller's, and what the demo decides. */
async function environmentFor(servers: DemoServers, env: Environment): Promise<Environment> {
  const { HTTP_PORT: port = '', TIMESCALEDB: timescaledb = '' } = env;
  const { redisUrl, postgresUrl } = servers;
  const own: Environment = {
    ...env,
    ...(redisUrl === null ? {} : { REDIS_URL: redisUrl, REDIS_PASSWORD: '' }),
    ...(postgresUrl === null ? {} : { POSTGRES_URL: postgresUrl, POSTGRES_PASSWORD: '' }),
    // One stream of its own, whatever the environment divides.
    STREAM_SHARDS: '',
    READ_SHARDS: '',
    HTTP_HOST: '127.0.0.1',
    // The demo must know the port, so it chooses one where the service would.
    HTTP_PORT: Number(port) > 0 ? port : String(await freePort()),
  };
  if (timescaledb) return own;
  const offered = await offersTimescaledb(configure(own).database.url);
  return { ...own, TIMESCALEDB: offered ? 'required' : 'optional' };
}

/** @throws Error with every problem of the configuration */
function configure(env: Environment): Config {
  const loaded = loadConfig(env, {
    hostname: hostname(),
    readFile: (path) => readFileSync(path, 'utf8'),
  });
  if (!loaded.ok) throw new Error(formatProblems(loaded.problems));
  return loaded.config;
}

function showWait({ stdout, terminal }: DemoIo, what: string) {
  return showProgress(`processor demo: ${what}`, { out: stdout, terminal: terminal !== null });
}

function table({ database }: Config): string {
  return database.timescaledb === 'required'
    ? 'TimescaleDB: a hypertable'
    : 'no TimescaleDB: a plain table';
}

function describeDomain(hasDomain: boolean, { driving }: Fleet): string {
  const count = new Set(driving.flatMap(({ geofences }) => geofences.map(({ id }) => id))).size;
  return hasDomain
    ? `${count}, in tables as Directus has them`
    : 'none: the database has collections of its own, which the demo leaves alone';
}

function rulesOf({ domain: { maxHopMs, minSatellites } }: Config): CrossingRules {
  return { maxHopMs, minSatellites };
}

function withLog(result: RunResult, log: string): RunResult {
  return { ...result, problems: [...result.problems, `the service's log: ${log}`] };
}
