/**
 * The vocabulary that all modules share: types, closed lists and one error.
 */

import type { ByteRange } from './byte-range.ts';
import type { EntryFields } from './entry-fields.ts';
import type { Reason, Stage, WriteReason } from './reasons.ts';

export { ByteRange, hasBytesAt } from './byte-range.ts';
export { EntryFields, packFields } from './entry-fields.ts';
export * from './reasons.ts';

declare const brand: unique symbol;
type Branded<Name extends string> = string & { readonly [brand]: Name };

/** A stream entry's id, `<milliseconds>-<sequence>`, as Redis prints it. */
export type EntryId = Branded<'EntryId'>;

/**
 * Why the ids of entries are not timestamps. `future`: more than an hour ahead, which no clock of a server
 * explains; `past`: more than ten years behind, for example ids in seconds; `exhausted`: the last id
 * there is, behind which Redis adds nothing.
 */
export const idFaults = ['future', 'past', 'exhausted'] as const;
export type IdFault = (typeof idFaults)[number];

/** An IMEI: 15 decimal digits. Personal data: never at log level info, never a label. */
export type DeviceId = Branded<'DeviceId'>;

export const entrySources = ['new', 'own_pending', 'claimed', 'replay'] as const;
/** How an entry reached this instance. */
export type EntrySource = (typeof entrySources)[number];

/** One stream entry as Redis delivered it; nothing in it is interpreted yet. */
export interface Entry {
  readonly id: EntryId;
  readonly source: EntrySource;
  /** Number of deliveries, this one included; above 1 an earlier one was not acknowledged. */
  readonly deliveries: number;
  readonly fields: EntryFields;
  /** Sum of the lengths of all names and values. */
  readonly bytes: number;
  /**
   * The history of the data set that it was read from (`master_replid` of Redis); null if unknown. An
   * id names the same entry only within one history: a failover may take back entries.
   */
  readonly history: string | null;
}

/** The content of a payload entry or of a frame entry; the field names decide which one it is. */
export type EntryContent =
  | {
      readonly form: 'payload';
      readonly deviceId: DeviceId;
      /** Epoch milliseconds, from the entry's own `ts`. */
      readonly ts: number;
      readonly codec: Codec;
      readonly payload: ByteRange;
    }
  | { readonly form: 'frame'; readonly deviceId: DeviceId; readonly frame: Buffer };

export const codecs = ['7', '8', '8E', '16'] as const;
/** Codecs that carry positions. */
export type Codec = (typeof codecs)[number];

export const messageCodecs = ['12', '13', '14', '15'] as const;
/** Codecs that carry messages: counted and acknowledged, never a position. */
export type MessageCodec = (typeof messageCodecs)[number];

/** One row of `positions`, as the writer takes it. `ingested_at` is the database's. */
export interface Position {
  readonly deviceId: DeviceId;
  /** Epoch milliseconds; never coarser (protocol.md 2.2: truncating to seconds loses 1 %). */
  readonly ts: number;
  /** Degrees WGS 84; both null only when the record carries no position at all (codec 7). */
  readonly latitude: number | null;
  readonly longitude: number | null;
  /** Metres, signed. This and the next three are null when a codec 7 record does not carry the part. */
  readonly altitude: number | null;
  /** Degrees clockwise from north, 0 to 360. */
  readonly angle: number | null;
  /** km/h. */
  readonly speed: number | null;
  readonly satellites: number | null;
  readonly priority: number;
  /** satellites > 0 and not 0/0. A row without a fix never becomes a device's last position. */
  readonly fix: boolean;
  readonly eventIoId: number | null;
  readonly generationType: number | null;
  readonly codec: Codec;
  /** The jsonb text of the IO values, keyed by decimal IO id: ASCII, as a text or as bytes. */
  readonly attributes: string | ByteRange;
  /** The record's index in its packet, from 0. */
  readonly recordIndex: number;
}

/** Why one record, or one whole entry, cannot become a position. */
export interface Rejection {
  readonly stage: Stage;
  readonly reason: Reason;
  /** What was expected; holds no value of the input beyond numbers, no secret, no IMEI. */
  readonly message: string;
  /** The record's index in its packet; null when the whole entry is rejected. */
  readonly recordIndex: number | null;
  /** Byte offset in the frame or payload where it was noticed, where that means something. */
  readonly offset: number | null;
}

/** The result of reading one entry. */
export type Interpretation =
  | {
      readonly kind: 'records';
      readonly positions: readonly Position[];
      readonly rejections: readonly Rejection[];
    }
  | { readonly kind: 'message'; readonly codec: MessageCodec }
  | { readonly kind: 'rejected'; readonly rejection: Rejection };

export const outcomes = [
  'inserted',
  'duplicate',
  'conflict',
  'dead_letter',
  'message',
  'lost',
] as const;
/** The outcome of a record; every record that is read gets exactly one. */
export type Outcome = (typeof outcomes)[number];

/** Records read and their outcomes, in one instance, since it started. */
export interface AccountTotals {
  readonly read: number;
  readonly settled: Readonly<Record<Outcome, number>>;
}

export interface Account {
  read(records: number): void;
  settle(outcome: Outcome, records: number): void;
  totals(): AccountTotals;
  /**
   * read - settled - in flight. `inFlight` is counted elsewhere, from the entries still held,
   * so that anything but 0 means a record was dropped or counted twice.
   */
  residual(inFlight: number): number;
}

/** The writer's outcome for one row of a batch. */
export type RowOutcome =
  | 'inserted'
  | 'duplicate'
  | 'conflict'
  | { readonly reason: WriteReason; readonly message: string };

/** Outcomes by index in the batch; null until durable, so that a retry continues where a write failed. */
export type Outcomes = (RowOutcome | null)[];

/** A device's newest known record and newest fix, guarded by `ts`. */
export interface DeviceState {
  /** Newest record's time, epoch milliseconds. */
  readonly lastTs: number;
  /** Newest record with a fix; null when none is known. */
  readonly lastFix: {
    readonly ts: number;
    readonly latitude: number;
    readonly longitude: number;
  } | null;
}

/** Why an entry left the stream before it was processed. */
export const lossCauses = ['trimmed_undelivered', 'trimmed_pending'] as const;
export type LossCause = (typeof lossCauses)[number];

export const dependencies = ['redis', 'database'] as const;
export type Dependency = (typeof dependencies)[number];

/**
 * A dependency failed. `unavailable` is temporary and retried; `configuration` needs a person and
 * makes the service not ready, and is retried as well. Neither dead-letters an entry.
 */
export class DependencyError extends Error {
  override readonly name = 'DependencyError';
  readonly dependency: Dependency;
  readonly kind: 'unavailable' | 'configuration';
  /** A SQLSTATE, a Redis error word or a Node errno: short, safe to log. */
  readonly code: string;

  constructor(
    dependency: Dependency,
    kind: 'unavailable' | 'configuration',
    code: string,
    message: string,
    options?: { cause: unknown },
  ) {
    super(message, options);
    this.dependency = dependency;
    this.kind = kind;
    this.code = code;
  }
}

/** Error codes of OpenSSL and node:tls for a refused server or client certificate; a person must replace it. */
export const certificateRefused =
  /^(CERT_|UNABLE_TO_|SELF_SIGNED_|DEPTH_ZERO_|HOSTNAME_MISMATCH|INVALID_|ERR_TLS_CERT_|ERR_SSL_\w*CERTIFICATE)/;

/** A part that runs: `start` and `stop` are safe twice, `stop` is safe without a start. */
export interface Service {
  readonly name: string;
  start(): Promise<void>;
  stop(): Promise<void>;
}

/** The subset of pino that the modules use; `msg` is constant, values go in fields. */
export interface Logger {
  debug(fields: object, msg: string): void;
  info(fields: object, msg: string): void;
  warn(fields: object, msg: string): void;
  error(fields: object, msg: string): void;
}

/** The reading side that an entry came from; ids are unique only within it. */
export interface EntryOrigin {
  /** Null without shards. */
  readonly shard: number | null;
  /** Called once all records of the entry have an outcome, to acknowledge it where it was read. */
  readonly settled: (held: HeldEntry) => void;
}

/** An entry between its read and its acknowledgement. */
export interface HeldEntry {
  readonly entry: Entry;
  readonly origin: EntryOrigin;
  /** Records in the entry; a message, or an entry rejected as a whole, counts as 1. */
  readonly records: number;
  /** Records whose outcome is not durable yet. */
  open: number;
  /** Rejections, written to the dead-letter stream together with the acknowledgement. */
  readonly rejections: Rejection[];
  /** The entry held a message codec, settled when it is acknowledged. */
  readonly isMessage: boolean;
  /** Another entry was delivered under its id: the acknowledgement must not settle that one. */
  isReplaced: boolean;
}

export const batchClosings = ['rows', 'bytes', 'idle', 'drain'] as const;
/** The reason a batch was closed: a limit, a free writer that took all rows, or the stop. */
export type BatchClosing = (typeof batchClosings)[number];

/** Rows to write together; `owners[i]` is the entry that `rows[i]` came from. */
export interface Batch {
  /** Counts from 1 since the instance started; part of every log line about the batch. */
  readonly id: number;
  readonly rows: readonly Position[];
  readonly owners: readonly HeldEntry[];
  readonly closedBy: BatchClosing;
}

export const pauseCauses = ['buffer', 'dependency', 'kill_switch'] as const;
/** The reason for a pause in reading. */
export type PauseCause = (typeof pauseCauses)[number];

export const breakerStates = ['closed', 'half_open', 'open'] as const;
/** Open: the dependency is not called. Half open: a single probe calls it. */
export type BreakerState = (typeof breakerStates)[number];

/** The subject of work, for the log line of its failure. */
export interface WorkSubject {
  readonly batch_id?: number;
  readonly entries?: number;
  readonly first_entry_id?: EntryId;
}

/** Events of a dependency's guard. */
export interface GuardEvents {
  /** An attempt failed; `attempt` counts from 1 for each piece of work. */
  failed(error: DependencyError, attempt: number, subject: WorkSubject): void;
  recovered(dependency: Dependency): void;
  breaker(dependency: Dependency, state: BreakerState): void;
}

/** Events of the entries of one stream; metrics and logs subscribe here. */
export interface ReadingEvents {
  /** `durationMs` includes the wait for entries. */
  read(entries: readonly Entry[], durationMs: number): void;
  interpreted(durationMs: number, entries: number): void;
  rejected(held: HeldEntry): void;
  /** An entry was delivered too often and is processed in isolation; `attempt` counts from 1. */
  isolated(entry: Entry, attempt: number): void;
  acknowledged(entries: readonly HeldEntry[], durationMs: number): void;
  paused(cause: PauseCause, durationMs: number): void;
}

/** Events of the writing side, which all streams share. */
export interface WritingEvents {
  batch(batch: Batch, outcomes: Outcomes, durationMs: number, statements: number): void;
  late(records: number): void;
}
