import type { FileHandle } from 'node:fs/promises';
import { type Command, Option } from 'commander';
import type { Redis } from 'ioredis';
import { processHost } from '../config/host.ts';
import { formatProblems } from '../config/load.ts';
import { loadRedisLogin } from '../config/redis-login.ts';
import { repeat } from '../lifecycle/repeat.ts';
import { type CrossingLedger, createCrossingLedger } from '../simulator/crossing-ledger.ts';
import type { SimulatedEntry } from '../simulator/entry.ts';
import { type FeedTotals, feed } from '../simulator/feed.ts';
import { createFleet, type Fleet, type FleetForm, fleetForms } from '../simulator/fleet.ts';
import { writeGeofences } from '../simulator/geofence-file.ts';
import { plainHabits, realHabits } from '../simulator/habits.ts';
import { createLedger } from '../simulator/ledger.ts';
import { openLedgerFile, writeLedger } from '../simulator/ledger-file.ts';
import { createSender, type Sender } from '../simulator/sender.ts';
import { createShardedSender } from '../simulator/sharded-sender.ts';
import { shardOf } from '../stream/shards.ts';
import type { PrimaryFinder } from '../stream/topology.ts';
import { askConsent, operatorOf } from './change.ts';
import { type CliExit, type CliIo, cliExits } from './io.ts';
import { cliIo, type SetExitCode, wholeNumber } from './options.ts';
import { optionProblem, type SimulateOptions } from './simulate-options.ts';
import {
  checkServer,
  findServers,
  hasLiveConsumers,
  noteSimulation,
  openConnections,
  streamsOf,
} from './simulate-redis.ts';

/** Between questions to the sentinels for the primary. */
const watchEveryMs = 1000;

interface SimulateFlags {
  readonly redisUrl?: string;
  readonly stream: string;
  readonly shards?: number;
  readonly devices: number;
  readonly records?: number;
  readonly duration?: number;
  readonly rate?: number;
  readonly seed: number;
  readonly form: FleetForm;
  readonly packetRecords: number;
  readonly plain: boolean;
  readonly ledger?: string;
  readonly geofences?: string;
  readonly baseTime?: number;
  readonly maxBacklog?: number;
  readonly live: boolean;
  readonly yes: boolean;
  readonly by?: string;
  readonly json: boolean;
}

/** Registers `processor simulate`. */
export function register(command: Command, setExitCode: SetExitCode): void {
  command
    .option('--redis-url <url>', 'the Redis to send to; default REDIS_URL')
    .addOption(
      new Option('--stream <key>', 'the stream to send to')
        .env('REDIS_TELEMETRY_STREAM')
        .default('telemetry:teltonika'),
    )
    .addOption(
      new Option('--shards <count>', 'send to this many shards of the stream')
        .env('STREAM_SHARDS')
        // An empty variable counts as unset.
        .argParser((text) => (text === '' ? undefined : wholeNumber(text))),
    )
    .option('--devices <count>', 'trackers in the fleet', wholeNumber, 100)
    .option('--records <count>', 'end after this many records', wholeNumber)
    .option('--duration <seconds>', 'end after this many seconds', wholeNumber)
    .option('--rate <records>', 'records per second; default: as fast as possible', wholeNumber)
    .option('--seed <number>', 'the same seed and base time give the same entries', wholeNumber, 1)
    .addOption(
      new Option('--form <form>', 'a: payload entries, b: frame entries')
        .choices(fleetForms)
        .default('mixed'),
    )
    .option('--packet-records <count>', 'records in a packet, on average', wholeNumber, 10)
    .option('--plain', 'only valid records, each once and in order', false)
    .option('--ledger <file>', 'write what was sent to this file (NDJSON)')
    .option(
      '--geofences <file>',
      'drive circuits through geofences and write these to this file (JSON), for Directus',
    )
    .option('--base-time <ms>', '"now" of the fleet, epoch milliseconds', wholeNumber)
    .option('--max-backlog <entries>', 'wait while more entries are unprocessed', wholeNumber)
    .option('--live', 'also into a stream whose consumers are alive', false)
    .option('--yes', 'do not ask', false)
    .option('--by <name>', 'who you are, for the audit line; default: your login')
    .option('--json', 'print the summary as JSON', false)
    .addHelpText(
      'after',
      '\nREDIS_URL, REDIS_PASSWORD, REDIS_PASSWORD_FILE and REDIS_CA_FILE are read as the service reads them.' +
        '\nExit codes: 0 everything was sent, 1 Redis or the file failed, 2 wrong options, live consumers, or not confirmed.',
    )
    .action(async (flags: SimulateFlags) => {
      const { redisUrl, records, duration, rate, ledger, baseTime, maxBacklog, ...rest } = flags;
      const { geofences, shards, ...others } = rest;
      const login = readLogin(redisUrl);
      if (!login.ok) {
        process.stderr.write(`${formatProblems(login.problems)}\n`);
        return setExitCode(cliExits.failed);
      }
      const options = {
        ...others,
        redis: login,
        shards: shards ?? null,
        records: records ?? null,
        durationSeconds: duration ?? null,
        rate: rate ?? null,
        ledgerFile: ledger ?? null,
        geofencesFile: geofences ?? null,
        baseTime: baseTime ?? null,
        maxBacklog: maxBacklog ?? null,
      };
      setExitCode(await runSimulate(options, cliIo()));
    });
}

/** Reads the login of --redis-url, or else of the environment. */
function readLogin(redisUrl: string | undefined) {
  const { REDIS_URL: fromEnv, REDIS_URL_FILE: fromFile, ...env } = process.env;
  const urls =
    redisUrl === undefined
      ? { REDIS_URL: fromEnv, REDIS_URL_FILE: fromFile }
      : { REDIS_URL: redisUrl };
  return loadRedisLogin({ ...env, ...urls }, processHost());
}

/** Faster than Redis accepts them; bounds the records of a run by duration. */
const MAX_RECORDS_PER_SECOND = 100_000;

/**
 * `processor simulate`: a fleet's entries into the stream, then one line of totals.
 * @returns the exit code: 0, 1 when Redis refused or the file failed, or 2 when the options are wrong
 */
export async function runSimulate(options: SimulateOptions, io: CliIo): Promise<number> {
  const problem = optionProblem(options);
  if (problem !== null) return fail(io, problem, cliExits.refused);
  const baseTime = options.baseTime ?? Date.now();
  const { ledgerFile } = options;
  const ledger = ledgerFile === null ? null : createLedger();
  const failures: string[] = [];
  let code: CliExit = cliExits.failed;
  let file: FileHandle | null = null;
  let crossings: CrossingLedger | null = null;
  const started = performance.now();
  try {
    const fleet = fleetOf(options, baseTime);
    const refusal = await consentTo(options, io);
    if (refusal !== null) return fail(io, refusal, cliExits.refused);
    file = ledgerFile === null ? null : await openLedger(ledgerFile);
    if (options.geofencesFile !== null) {
      await writeGeofences(options.geofencesFile, fleet.driving);
      crossings = createCrossingLedger(fleet.driving);
    }
    const totals = await send(options, fleet, io.signal, (entry) => {
      ledger?.add(entry);
      crossings?.add(entry);
    });
    const seconds = (performance.now() - started) / 1000;
    io.stdout.write(`${summary(options, baseTime, totals, seconds)}\n`);
  } catch (error) {
    failures.push(messageOf(error));
    // The fleet refuses wrong options with a RangeError.
    if (error instanceof RangeError) code = cliExits.refused;
  }
  // Also after a failure: the ledger holds exactly what Redis confirmed.
  if (ledger !== null && file !== null) {
    try {
      if (crossings !== null) ledger.addCrossings(crossings.expected());
      await writeLedger(ledger, file);
    } catch (error) {
      failures.push(`the ledger could not be written: ${messageOf(error)}`);
    }
  }
  return failures.length === 0 ? cliExits.ok : fail(io, failures.join('; '), code);
}

/** Creates the ledger before anything is sent; it never replaces a file or follows a link. */
async function openLedger(path: string): Promise<FileHandle> {
  try {
    return await openLedgerFile(path);
  } catch (error) {
    throw new Error(`the ledger could not be written: ${messageOf(error)}`, { cause: error });
  }
}

/**
 * Asks for consent and writes the audit line. @returns why nothing is sent; null to continue
 * @throws when Redis cannot be reached, or is no single primary
 */
async function consentTo(options: SimulateOptions, io: CliIo): Promise<string | null> {
  const { stream: name, live } = options;
  const primaries = findServers(options);
  await using opened = new AsyncDisposableStack();
  const streams: { readonly redis: Redis; readonly stream: string }[] = [];
  for (const stream of streamsOf(options)) {
    const redis = await checkServer(openConnections(primaries, stream), stream);
    opened.defer(() => redis.disconnect());
    if (!live && (await hasLiveConsumers(redis, stream))) {
      return `${stream} has live consumers, which would store the simulated records: choose another --stream, or add --live`;
    }
    streams.push({ redis, stream });
  }
  const what = `send simulated records to ${name}${options.shards === null ? '' : ` (${options.shards} shards)`}`;
  const flags = { ...options, dryRun: false };
  if ((await askConsent(io, flags, what)) !== 'given') return 'not carried out';
  const line = { by: operatorOf(io, options), detail: detailOf(options) };
  const noted = await Promise.all(
    streams.map(({ redis, stream }) => noteSimulation(redis, stream, line)),
  );
  if (noted.includes(false)) {
    io.stderr.write('processor simulate: no audit line: the user of Redis may not write it\n');
  }
  return null;
}

function detailOf(options: SimulateOptions): string {
  const { stream, shards, devices, seed, records, durationSeconds } = options;
  const length = records === null ? `duration=${durationSeconds}s` : `records=${records}`;
  const divided = shards === null ? '' : ` shards=${shards}`;
  return `stream=${stream}${divided} devices=${devices} seed=${seed} ${length}`;
}

/** @throws RangeError when an option is outside the limits of a fleet */
function fleetOf(options: SimulateOptions, baseTime: number): Fleet {
  const { seed, devices, form, packetRecords, records, durationSeconds, rate } = options;
  const expectedRecords =
    records ?? Math.ceil((durationSeconds ?? 0) * (rate ?? MAX_RECORDS_PER_SECOND));
  const habits = options.plain ? plainHabits : realHabits;
  const drivesCircuits = options.geofencesFile !== null;
  const load = { seed, baseTime, devices, form, packetRecords, habits, expectedRecords };
  return createFleet({ ...load, drivesCircuits });
}

async function send(
  options: SimulateOptions,
  fleet: Fleet,
  signal: AbortSignal,
  onSent: (entry: SimulatedEntry) => void,
): Promise<FeedTotals> {
  const { records, durationSeconds, rate } = options;
  const primaries = findServers(options);
  const sender = openSender(options, primaries, signal, onSent);
  // What a former primary still takes is lost.
  const endWatch = repeat(async () => {
    await primaries.leaveFormer();
  }, watchEveryMs);
  try {
    await sender.connect();
    const durationMs = durationSeconds === null ? null : durationSeconds * 1000;
    return await feed({
      sender,
      fleet,
      records,
      rate,
      signal,
      durationMs,
      maxBacklog: options.maxBacklog,
    });
  } finally {
    await endWatch();
    sender.close();
  }
}

/** One sender for the stream, or one for each shard. */
function openSender(
  options: SimulateOptions,
  primaries: PrimaryFinder,
  signal: AbortSignal,
  onSent: (entry: SimulatedEntry) => void,
): Sender {
  const senderOf = (stream: string) => {
    const { open } = openConnections(primaries, stream);
    return createSender({ open, stream, onSent, signal });
  };
  const { shards, stream } = options;
  if (shards === null) return senderOf(stream);
  return createShardedSender(streamsOf(options).map(senderOf), (id) => shardOf(id, shards));
}

function summary(
  { seed, json, ledgerFile }: SimulateOptions,
  baseTime: number,
  { entries, records, bytes }: FeedTotals,
  elapsed: number,
): string {
  const seconds = Number(elapsed.toFixed(3));
  const rate = Math.round(records / Math.max(elapsed, 0.001));
  const facts = { entries, records, bytes, seconds, rate, seed, base_time: baseTime };
  if (json) return JSON.stringify({ ...facts, ledger: ledgerFile });
  return Object.entries(facts)
    .map(([name, value]) => `${name}=${value}`)
    .join(' ');
}

function fail(io: CliIo, message: string, code: CliExit): CliExit {
  io.stderr.write(`processor simulate: ${message}\n`);
  return code;
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
