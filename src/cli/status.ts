import { setTimeout } from 'node:timers/promises';
import type { Command } from 'commander';
import { type CliIo, cliExits, type OutputFlags, print } from './io.ts';
import { cliIo, collect, positive, type SetExitCode, wholeNumber } from './options.ts';
import { jsonLine } from './printable.ts';
import { type ShardFlags, sharded } from './shards.ts';
import { attentionOf, limitsOf, unreachableOf } from './status/attention.ts';
import { jsonOf } from './status/json.ts';
import { isStalled, stallMs } from './status/movement.ts';
import { ratesOf } from './status/rates.ts';
import { type Sample, takeSample } from './status/sample.ts';
import { renderLine, renderStatus, type Status } from './status/view.ts';
import { graphSamples, renderWatch } from './status/watch-view.ts';
import { type Stores, withStores } from './stores.ts';
import { type Terminal, terminalOf } from './terminal.ts';

interface StatusOptions extends ShardFlags {
  readonly json: boolean;
  readonly watch?: number | true;
  readonly frames?: number;
  readonly metricsUrl: readonly string[];
  readonly maxLag: number;
}

/** Registers `processor status`. */
export function register(command: Command, setExitCode: SetExitCode): void {
  sharded(command)
    .option('--json', 'print the result as one JSON line', false)
    .option('--watch [seconds]', 'redraw the status, by default every 2 seconds', positive)
    .option('--frames <count>', 'end after this many samples', positive)
    .option('--metrics-url <url>', "an instance's /metrics; may be repeated", collect, [])
    .option('--max-lag <seconds>', 'lag that needs attention', wholeNumber, 60)
    .addHelpText(
      'after',
      '\nExit codes: 0 all is well, 1 something is unreachable, 3 something needs attention.',
    )
    .action(async ({ watch, frames, ...flags }: StatusOptions) =>
      setExitCode(
        await runStatus(cliIo(), {
          ...flags,
          watch: watch === undefined ? null : watch === true ? 2 : watch,
          frames: frames ?? null,
        }),
      ),
    );
}

export interface StatusFlags extends OutputFlags, ShardFlags {
  /** Seconds between two samples, or null: report once. */
  readonly watch: number | null;
  /** Samples after which watching ends; null: when it is interrupted. */
  readonly frames: number | null;
  /** Of instances, as http://host:9464/metrics. */
  readonly metricsUrl: readonly string[];
  /** Seconds of lag that need attention. */
  readonly maxLag: number;
}

/** The codes of other commands, and 3 for a service that works but needs attention. */
export const statusExits = { ...cliExits, attention: 3 } as const;

/** Time between the two samples of a rate. */
const rateMs = 1000;

/** `processor status`: whether entries flow; `--watch` redraws it. */
export function runStatus(io: CliIo, flags: StatusFlags): Promise<number> {
  const { watch: seconds } = flags;
  const show = (stores: Stores) =>
    seconds === null ? once(io, stores, flags) : watch(io, stores, flags, seconds);
  return withStores<number>(io, show, flags);
}

/**
 * Takes two samples, a second apart. If something that should move between them does not, it keeps
 * sampling until it moves, for at most `stallMs`, because one slow batch is not a stall.
 */
async function once(io: CliIo, stores: Stores, flags: StatusFlags): Promise<number> {
  const sampling = samplingOf(stores, flags);
  const before = await sampling.take();
  let now = before;
  do {
    await sleep(io, rateMs);
    now = await sampling.take();
  } while (now.atMs - before.atMs < stallMs && isStalled(before, now) && !io.signal.aborted);
  const status = sampling.statusOf(before, before, now);
  print(io, flags, jsonOf(status), renderStatus(status, terminalOf(io)).join('\n'));
  return exitOf(status);
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
  const sampling = samplingOf(stores, flags);
  const isScreen = terminalOf(io).isScreen && !flags.json;
  const statuses: Status[] = [];
  // A sample before the first frame gives that frame rates and findings too.
  const samples = [await sampling.take()];
  await sleep(io, rateMs);
  if (isScreen) io.stdout.write(enterScreen);
  try {
    for (let frame = 0; frame !== flags.frames && !io.signal.aborted; frame += 1) {
      const now = await sampling.take();
      const older = samples.findLast(({ atMs }) => now.atMs - atMs >= stallMs);
      statuses.push(sampling.statusOf(samples.at(-1) ?? null, older ?? null, now));
      samples.push(now);
      if (statuses.length > graphSamples) statuses.shift();
      if (samples.length > graphSamples) samples.shift();
      show(io, flags, statuses, isScreen);
      if (frame + 1 === flags.frames) break;
      await sleep(io, seconds * 1000);
    }
  } finally {
    if (isScreen) io.stdout.write(leaveScreen);
  }
  const newest = statuses.at(-1);
  return newest === undefined ? statusExits.ok : exitOf(newest);
}

function show(io: CliIo, flags: StatusFlags, statuses: readonly Status[], isScreen: boolean): void {
  const newest = statuses.at(-1);
  if (newest === undefined) return;
  // The terminal may have been resized since.
  if (isScreen) draw(io, statuses, terminalOf(io));
  else io.stdout.write(`${flags.json ? jsonLine(jsonOf(newest)) : renderLine(newest)}\n`);
}

function draw(io: CliIo, statuses: readonly Status[], terminal: Terminal): void {
  const lines = renderWatch(statuses, terminal);
  io.stdout.write(`${home}${lines.map((line) => `${line}${clearLine}`).join('\r\n')}${clearBelow}`);
}

/** Takes and compares the samples of one command. */
function samplingOf(stores: Stores, flags: StatusFlags) {
  const limits = limitsOf(stores.config.streams[0], flags.maxLag);
  return {
    take: () => takeSample(stores, flags.metricsUrl, limits.claimMs),
    /** @param older a sample that is old enough for a stall to show, or null */
    statusOf(before: Sample | null, older: Sample | null, now: Sample): Status {
      const rates = ratesOf(before, now);
      const attention = attentionOf({ before, older, now, rates }, limits);
      return { sample: now, rates, attention, unreachable: unreachableOf(now) };
    },
  };
}

async function sleep(io: CliIo, ms: number): Promise<void> {
  await setTimeout(ms, undefined, { signal: io.signal }).catch(() => undefined);
}

function exitOf({ attention, unreachable }: Status): number {
  if (unreachable.length > 0) return statusExits.failed;
  return attention.length > 0 ? statusExits.attention : statusExits.ok;
}
