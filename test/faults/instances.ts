import { setTimeout as sleep } from 'node:timers/promises';
import { eventually, type RunningService, startService } from '../../tools/service.ts';

/** The processes of one scenario, watched from their start to their end. */
export interface Instances {
  start(name: string, env: Readonly<Record<string, string>>): RunningService;
  /** Those that were not ended. @throws when one ended by itself */
  live(): readonly NamedInstance[];
  /** Ends all that live with SIGTERM. @throws when one does not exit with 0 */
  endAll(): Promise<void>;
  killAll(): Promise<void>;
  /** Where an instance's own account does not add up, in words. */
  readonly problems: readonly string[];
  /** The last warnings and errors of each instance, for a person who looks for a cause. */
  lastWords(): string;
}

export interface NamedInstance {
  readonly name: string;
  readonly service: RunningService;
}

interface Watched extends NamedInstance {
  /** The signal that a test sent; null: it runs, or ended by itself. */
  ended: NodeJS.Signals | null;
}

const residualSeries = 'processor_conservation_residual_records';
const WATCH_EVERY_MS = 500;
const SCRAPE_TIMEOUT_MS = 2_000;
const LAST_WORDS = 8;
const DRAIN_OVERRUN = 75;

export function createInstances(): Instances {
  const all: Watched[] = [];
  const problems: string[] = [];

  function start(name: string, env: Readonly<Record<string, string>>): RunningService {
    const started = startService({ CONSUMER_NAME: name, ...env });
    const watched: Watched = { name, service: started, ended: null };
    all.push(watched);
    void watchResidual(watched, problems);
    return {
      ...started,
      async end(signal) {
        watched.ended ??= signal;
        const code = await started.end(signal);
        problems.push(...partingProblems(name, started, code));
        return code;
      },
    };
  }

  function live(): readonly Watched[] {
    for (const { name, service, ended } of all) {
      if (ended !== null || !hasEnded(service)) continue;
      const { exitCode, signalCode } = service.process;
      throw new Error(`instance ${name} ended by itself with ${exitCode ?? signalCode}`);
    }
    return all.filter(({ ended }) => ended === null);
  }

  return {
    start,
    live,
    problems,
    async endAll() {
      const ends = live().map(async (watched) => {
        const { name, service } = watched;
        await service.untilReady();
        const residual = readResidual(await scrape(await service.url()));
        if (residual !== 0) problems.push(`instance ${name}: ${residualSeries} is ${residual}`);
        watched.ended = 'SIGTERM';
        const code = await service.end('SIGTERM');
        problems.push(...partingProblems(name, service, code));
        if (code !== 0) throw new Error(`instance ${name} ended with ${code}, with nothing to do`);
      });
      for (const result of await Promise.allSettled(ends)) {
        if (result.status === 'rejected') throw result.reason;
      }
    },
    async killAll() {
      await Promise.all(
        all.map(async (watched) => {
          watched.ended ??= 'SIGKILL';
          await watched.service.end('SIGKILL');
        }),
      );
    },
    lastWords: () => all.map(lastWordsOf).join('\n'),
  };
}

/** Resolves when the instance is stopped or killed and its exit code is known. */
export function hasEnded({ process }: RunningService): boolean {
  return process.exitCode !== null || process.signalCode !== null;
}

/** The gauge is updated each second; a sample between two of its states would be a bug too. */
async function watchResidual({ name, service }: Watched, problems: string[]): Promise<void> {
  let isSampled = false;
  while (!hasEnded(service)) {
    await sleep(WATCH_EVERY_MS);
    const served = service.logs.find(({ msg }) => msg === 'probes and metrics are served');
    if (served === undefined) continue;
    // One that was just killed, or is suspended, does not answer; the next sample shows it.
    const text = await scrape(`http://127.0.0.1:${served.port}`).catch(() => null);
    if (text === null) continue;
    const residual = readResidual(text);
    // Metrics are served before the first sample.
    isSampled ||= !Number.isNaN(residual);
    if (isSampled && residual !== 0)
      problems.push(`instance ${name}: ${residualSeries} was ${residual}`);
  }
}

async function scrape(origin: string): Promise<string> {
  const signal = AbortSignal.timeout(SCRAPE_TIMEOUT_MS);
  return await (await fetch(`${origin}/metrics`, { signal })).text();
}

/** NaN where the series is missing: that is a problem as well. */
function readResidual(text: string): number {
  const found = new RegExp(`^${residualSeries} (\\S+)$`, 'm').exec(text);
  return Number(found?.[1] ?? Number.NaN);
}

/** What an instance that ended in order says last must add up; one over its budget names the rest. */
function partingProblems(name: string, { logs }: RunningService, code: number | null): string[] {
  if (code === DRAIN_OVERRUN) {
    const last = logs.find(({ msg }) => msg === 'drain budget spent; the rest stays pending');
    const named = Number(last?.entries) > 0 && Array.isArray(last?.entry_ids);
    return named ? [] : [`instance ${name} ended with ${code} and named nothing`];
  }
  if (code !== 0) return [];
  const last = logs.find(({ msg }) => msg === 'stopped; nothing left in flight');
  // It was ended before it had read anything.
  if (last === undefined) {
    const began = logs.some(({ msg }) => msg === 'reading begins');
    return began ? [`instance ${name} ended with 0 and gave no account`] : [];
  }
  const { read, settled } = last;
  const sum = typeof settled === 'object' && settled !== null ? sumOf(Object.values(settled)) : -1;
  return read === sum ? [] : [`instance ${name} read ${read} records and settled ${sum}`];
}

function sumOf(values: readonly unknown[]): number {
  return values.reduce((sum: number, value) => sum + Number(value), 0);
}

function lastWordsOf({ name, service, ended }: Watched): string {
  const { exitCode, signalCode } = service.process;
  const words = service.logs
    .filter(({ level }) => level === 'warn' || level === 'error' || level === 'fatal')
    // The fleet sends bad records on purpose.
    .filter(({ msg }) => msg !== 'record dead-lettered')
    .slice(-LAST_WORDS)
    .map((line) => `  ${JSON.stringify(line)}`);
  const end = `sent ${ended ?? 'nothing'}, ended with ${exitCode ?? signalCode ?? 'nothing yet'}`;
  return [`instance ${name}: ${end}`, ...words, service.stderr().trim()].join('\n');
}

/**
 * Sends SIGSTOP in a moment in which the instance holds entries, so that its end matters.
 * @returns how many
 */
export async function freezeHolding(
  service: RunningService,
  pendingOf: () => Promise<number>,
  least = 1,
): Promise<number> {
  return await eventually('a suspended instance holds entries', async () => {
    service.process.kill('SIGSTOP');
    const held = await pendingOf();
    if (held >= least) return held;
    service.process.kill('SIGCONT');
    return undefined;
  });
}
