import type { Writable } from 'node:stream';
import type { ConnectionOptions } from 'node:tls';
import { Redis } from 'ioredis';
import { type FeedTotals, feed } from '../simulator/feed.ts';
import { createFleet, type FleetForm } from '../simulator/fleet.ts';
import { plainHabits, realHabits } from '../simulator/habits.ts';
import { createLedger, type Ledger } from '../simulator/ledger.ts';
import { writeLedger } from '../simulator/ledger-file.ts';
import { createSender } from '../simulator/sender.ts';
import { checkGround } from '../stream/ground.ts';
import { endOnRefusedSelect, watchReason } from '../stream/redis.ts';
import { type CliExit, cliExits } from './io.ts';

export interface SimulateOptions {
  readonly redisUrl: string;
  /** Null: plain text. */
  readonly redisTls: ConnectionOptions | null;
  readonly stream: string;
  readonly devices: number;
  /** How many records to send; null: until `durationSeconds` are over. */
  readonly records: number | null;
  readonly durationSeconds: number | null;
  /** Records a second; null: flat out. */
  readonly rate: number | null;
  /** A non-negative integer. */
  readonly seed: number;
  readonly form: FleetForm;
  /** Records in a packet, on average. */
  readonly packetRecords: number;
  /** Only good records, each once and in order. */
  readonly plain: boolean;
  /** Where to write what was sent; null: nowhere. */
  readonly ledgerFile: string | null;
  /** "Now" for the fleet, epoch milliseconds; null: the clock. */
  readonly baseTime: number | null;
  /** Entries unread or unacknowledged above which the simulator waits; null: never. */
  readonly maxBacklog: number | null;
  readonly json: boolean;
}

export interface SimulateIo {
  readonly stdout: Writable;
  readonly stderr: Writable;
  /** Ends the run in order; what was sent is in the ledger. */
  readonly signal: AbortSignal;
}

/** Faster than one Redis takes them: how many records a run by duration may need at most. */
const MOST_RECORDS_A_SECOND = 100_000;
const CONNECT_TIMEOUT_MS = 5_000;
/** Then the connection is replaced and the entry sent again under its id. */
const COMMAND_TIMEOUT_MS = 5_000;

/**
 * `processor simulate`: a fleet's entries into the stream, then one line of totals.
 * @returns the exit code: 0, 1 when Redis refused or the file failed, or 2 when the options are wrong
 */
export async function runSimulate(options: SimulateOptions, io: SimulateIo): Promise<number> {
  const problem = optionProblem(options);
  if (problem !== null) return fail(io, problem, cliExits.refused);
  const baseTime = options.baseTime ?? Date.now();
  const ledger = options.ledgerFile === null ? null : createLedger();
  const failures: string[] = [];
  let code: CliExit = cliExits.failed;
  const started = performance.now();
  try {
    const totals = await send(options, baseTime, ledger, io.signal);
    const seconds = (performance.now() - started) / 1000;
    io.stdout.write(`${summary(options, baseTime, totals, seconds)}\n`);
  } catch (error) {
    failures.push(messageOf(error));
    // What the fleet refuses is an option.
    if (error instanceof RangeError) code = cliExits.refused;
  }
  // Also after a failure: the ledger holds exactly what Redis confirmed.
  if (ledger !== null && options.ledgerFile !== null) {
    try {
      await writeLedger(ledger, options.ledgerFile);
    } catch (error) {
      failures.push(`the ledger could not be written: ${messageOf(error)}`);
    }
  }
  return failures.length === 0 ? cliExits.ok : fail(io, failures.join('; '), code);
}

async function send(
  options: SimulateOptions,
  baseTime: number,
  ledger: Ledger | null,
  signal: AbortSignal,
): Promise<FeedTotals> {
  const { seed, devices, form, packetRecords, records, durationSeconds, rate } = options;
  const expectedRecords =
    records ?? Math.ceil((durationSeconds ?? 0) * (rate ?? MOST_RECORDS_A_SECOND));
  const habits = options.plain ? plainHabits : realHabits;
  const fleet = createFleet({
    seed,
    baseTime,
    devices,
    form,
    packetRecords,
    habits,
    expectedRecords,
  });
  const connections = openConnections(options);
  const sender = createSender({
    open: connections.open,
    stream: options.stream,
    onSent: (entry) => ledger?.add(entry),
    signal,
  });
  try {
    await checkServer(connections, options.stream);
    await sender.connect();
    const durationMs = durationSeconds === null ? null : durationSeconds * 1000;
    return await feed({
      ...{ sender, fleet, records, rate, signal, durationMs },
      maxBacklog: options.maxBacklog,
    });
  } finally {
    sender.close();
  }
}

/** @throws when Redis cannot be reached, or is no single primary */
async function checkServer(
  { open, reason }: ReturnType<typeof openConnections>,
  stream: string,
): Promise<void> {
  const redis = open();
  try {
    await redis.connect().catch((cause) => {
      const message = `no connection to Redis: ${reason()}; are REDIS_URL and its password right?`;
      throw new Error(message, { cause });
    });
    await checkGround(redis, stream);
  } finally {
    redis.disconnect();
  }
}

function openConnections({ redisUrl, redisTls }: SimulateOptions) {
  // The rejection of a connect only says that it is closed; an event says why.
  let reasonOf: () => Error | null = () => null;
  return {
    reason: () => reasonOf()?.message ?? 'no answer',
    open(): Redis {
      const redis = new Redis(redisUrl, {
        ...(redisTls && { tls: redisTls }),
        connectionName: 'processor:simulate',
        connectTimeout: CONNECT_TIMEOUT_MS,
        commandTimeout: COMMAND_TIMEOUT_MS,
        lazyConnect: true,
        enableOfflineQueue: false,
        // Two commands more that an ACL would have to allow.
        disableClientInfo: true,
        protocol: 2,
        // The sender resends, because only it knows under which id.
        autoResendUnfulfilledCommands: false,
        maxRetriesPerRequest: 0,
        retryStrategy: () => null,
      });
      endOnRefusedSelect(redis);
      reasonOf = watchReason(redis);
      return redis;
    },
  };
}

function optionProblem({ records, durationSeconds, rate, maxBacklog }: SimulateOptions) {
  if (records === null && durationSeconds === null) {
    return 'give an end: --records or --duration';
  }
  const numbers = { records, duration: durationSeconds, rate, 'max-backlog': maxBacklog };
  for (const [name, value] of Object.entries(numbers)) {
    if (value !== null && !(value > 0)) return `--${name} must be above 0`;
  }
  return null;
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

function fail(io: SimulateIo, message: string, code: CliExit): CliExit {
  io.stderr.write(`processor simulate: ${message}\n`);
  return code;
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
