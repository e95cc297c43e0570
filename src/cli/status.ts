import { setTimeout } from 'node:timers/promises';
import { type CliIo, cliExits, type OutputFlags, print } from './io.ts';
import { attentionOf, noRates, type Rates, ratesOf, unreachableOf } from './status/derive.ts';
import { type Sample, takeSample } from './status/sample.ts';
import { graphLooks, type Look, renderLine, renderLook, renderWatch } from './status/view.ts';
import { type Stores, withStores } from './stores.ts';

export interface StatusFlags extends OutputFlags {
  /** Seconds between two looks, or null: look once. */
  readonly watch: number | null;
  /** Looks after which watching ends; null: when it is interrupted. */
  readonly frames: number | null;
  /** Of instances, as http://host:9090/metrics. */
  readonly metricsUrl: readonly string[];
  /** Seconds of lag that deserve attention. */
  readonly maxLag: number;
}

/** As other commands' codes, and one for what works but deserves a look. */
export const statusExits = { ...cliExits, attention: 3 } as const;

/** Between the two looks that a rate takes. */
const rateMs = 1000;
const defaultColumns = 100;

/** `processor status`: whether it flows; `--watch` redraws it. */
export function runStatus(io: CliIo, flags: StatusFlags): Promise<number> {
  return withStores<number>(io, (stores) =>
    flags.watch === null ? once(io, stores, flags) : watch(io, stores, flags, flags.watch),
  );
}

async function once(io: CliIo, stores: Stores, flags: StatusFlags): Promise<number> {
  const before = await takeSample(stores, flags.metricsUrl);
  await setTimeout(rateMs, undefined, { signal: io.signal }).catch(() => undefined);
  const look = lookOf(stores, flags, before, await takeSample(stores, flags.metricsUrl));
  print(io, flags, jsonOf(look), renderLook(look, io.stdout.columns ?? defaultColumns).join('\n'));
  return exitOf(look);
}

const enterScreen = '\u001b[?1049h\u001b[?25l';
const leaveScreen = '\u001b[?25h\u001b[?1049l';
/** To the top; each line is cleared as it is drawn, the rest of the screen at the end. */
const home = '\u001b[H';
const clearLine = '\u001b[K';
const clearBelow = '\u001b[J';

async function watch(
  io: CliIo,
  stores: Stores,
  flags: StatusFlags,
  seconds: number,
): Promise<number> {
  const isScreen = io.stdout.isTTY === true && !flags.json;
  const looks: Look[] = [];
  let before: Sample | null = null;
  if (isScreen) io.stdout.write(enterScreen);
  try {
    for (let frame = 0; frame !== flags.frames && !io.signal.aborted; frame += 1) {
      const now = await takeSample(stores, flags.metricsUrl);
      const look = lookOf(stores, flags, before, now);
      before = now;
      looks.push(look);
      if (looks.length > graphLooks) looks.shift();
      if (isScreen) draw(io, looks);
      else io.stdout.write(`${flags.json ? JSON.stringify(jsonOf(look)) : renderLine(look)}\n`);
      if (frame + 1 === flags.frames) break;
      await setTimeout(seconds * 1000, undefined, { signal: io.signal }).catch(() => undefined);
    }
  } finally {
    if (isScreen) io.stdout.write(leaveScreen);
  }
  const newest = looks.at(-1);
  return newest === undefined ? statusExits.ok : exitOf(newest);
}

function draw(io: CliIo, looks: readonly Look[]): void {
  const lines = renderWatch(looks, io.stdout.columns ?? defaultColumns);
  io.stdout.write(`${home}${lines.map((line) => `${line}${clearLine}`).join('\r\n')}${clearBelow}`);
}

function lookOf(stores: Stores, flags: StatusFlags, before: Sample | null, now: Sample): Look {
  const rates: Rates = before === null ? noRates : ratesOf(before, now);
  const { claimThresholdMs } = stores.config.stream;
  const attention = attentionOf(now, rates, { claimThresholdMs, lagSeconds: flags.maxLag });
  return { sample: now, rates, attention, unreachable: unreachableOf(now) };
}

function exitOf({ attention, unreachable }: Look): number {
  if (unreachable.length > 0) return statusExits.failed;
  return attention.length > 0 ? statusExits.attention : statusExits.ok;
}

function jsonOf({ sample, rates, attention, unreachable }: Look): object {
  const stream = sample.stream.kind === 'seen' ? sample.stream.value : null;
  const database = sample.database.kind === 'seen' ? sample.database.value : null;
  return {
    at: new Date(sample.atMs).toISOString(),
    ...{ attention, unreachable },
    stream: stream && {
      length: stream.backlog.length,
      lag: stream.backlog.lag,
      lag_seconds: stream.backlog.lagAgeMs === null ? null : stream.backlog.lagAgeMs / 1000,
      pending: stream.backlog.pending,
      pending_oldest_seconds: stream.backlog.pendingOldestMs / 1000,
      dead_letters: stream.backlog.deadLetters,
      consumers: stream.consumers.map(({ name, pending, idleMs }) => {
        return { name, pending, idle_ms: idleMs };
      }),
      pause: stream.pause,
      suspects: stream.suspects,
    },
    rates: {
      added_per_second: rates.added,
      delivered_per_second: rates.delivered,
      records_per_second: rates.records,
      trimming_reaches_unread_ms: rates.trimmingReachesMs,
    },
    database: database && {
      answer_ms: Math.round(database.answerMs),
      pending_migrations: database.pendingMigrations,
    },
    instances: sample.instances.flatMap((answer) => {
      if (answer.kind !== 'seen') return [];
      const {
        url,
        records,
        inFlight,
        residentBytes,
        rowsPerBatch,
        breakers,
        isPaused,
        lastCommitMs,
      } = answer.value;
      return [
        {
          ...{ url, records, in_flight: inFlight, resident_bytes: residentBytes },
          ...{ rows_per_batch: rowsPerBatch, breakers, paused: isPaused },
          last_commit_at: lastCommitMs === null ? null : new Date(lastCommitMs).toISOString(),
        },
      ];
    }),
  };
}
