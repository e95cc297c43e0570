import type { FleetForm } from '../simulator/fleet.ts';
import { maxShards } from '../stream/shards.ts';
import type { SimulateRedis, SimulateStream } from './simulate-redis.ts';

export interface SimulateOptions extends SimulateRedis, SimulateStream {
  readonly devices: number;
  /** Records to send; null: until `durationSeconds` have passed. */
  readonly records: number | null;
  readonly durationSeconds: number | null;
  /** Records per second; null: as fast as possible. */
  readonly rate: number | null;
  /** A non-negative integer. */
  readonly seed: number;
  readonly form: FleetForm;
  /** Records in a packet, on average. */
  readonly packetRecords: number;
  /** Only valid records, each once and in order. */
  readonly plain: boolean;
  /** Where to write what was sent; null: nowhere. */
  readonly ledgerFile: string | null;
  /** Where to write the geofences of the circuits that the fleet then drives; null: it drives none. */
  readonly geofencesFile: string | null;
  /** "Now" for the fleet, epoch milliseconds; null: the clock. */
  readonly baseTime: number | null;
  /** Entries unread or unacknowledged above which the simulator waits; null: never. */
  readonly maxBacklog: number | null;
  /** Sends to a stream with live consumers too, which store the simulated records. */
  readonly live: boolean;
  /** Gives consent without a question. */
  readonly yes: boolean;
  /** The operator's name, for the audit line. */
  readonly by?: string;
  readonly json: boolean;
}

/** What is wrong with the numbers of the options; null: nothing. */
export function optionProblem(options: SimulateOptions): string | null {
  const { records, durationSeconds, rate, maxBacklog, stream, shards } = options;
  if (records === null && durationSeconds === null) {
    return 'give an end: --records or --duration';
  }
  const numbers = { records, duration: durationSeconds, rate, 'max-backlog': maxBacklog };
  for (const [name, value] of Object.entries(numbers)) {
    if (value !== null && !(value > 0)) return `--${name} must be above 0`;
  }
  if (shards === null) return null;
  if (!(shards >= 1 && shards <= maxShards)) return `--shards must be from 1 to ${maxShards}`;
  return stream.includes('{') ? '--stream must hold no { with --shards' : null;
}
