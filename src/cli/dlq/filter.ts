import type { Config } from '../../config/load.ts';
import {
  keptField,
  type Malformed,
  type StoredDeadLetter,
} from '../../stream/stored-dead-letters.ts';
import { deviceMark } from '../device-mark.ts';
import type { ShardFlags } from '../shards.ts';

/** Selects the dead letters that a command works on. */
export interface DeadLetterFilter {
  /** The dead letter's own id, without the shard. */
  readonly id?: string;
  readonly reason?: string;
  readonly stage?: string;
  readonly device?: string;
  /** Epoch milliseconds of the dead letter's own id. */
  readonly since?: number;
  readonly until?: number;
}

/** Whether the filter selects everything. */
export function isEmptyFilter(filter: DeadLetterFilter): boolean {
  const { id, reason, stage, device, since, until } = filter;
  return [id, reason, stage, device, since, until].every((part) => part === undefined);
}

/** The range of ids to read; the other parts of the filter are matched one by one. */
export function rangeOf({ id, since, until }: DeadLetterFilter): { from: string; to: string } {
  if (id !== undefined) return { from: id, to: id };
  return {
    from: since === undefined ? '-' : String(since),
    to: until === undefined ? '+' : String(until),
  };
}

/**
 * Whether a dead letter matches. Reason and stage must be those of the same rejection. A
 * malformed dead letter has neither, and matches no filter on them.
 */
export function matches(
  deadLetter: StoredDeadLetter | Malformed,
  filter: DeadLetterFilter,
): boolean {
  const { reason, stage, device } = filter;
  if (deadLetter.kind === 'malformed') {
    return reason === undefined && stage === undefined && device === undefined;
  }
  const hasRejection = deadLetter.rejections.some(
    (group) =>
      (reason === undefined || group.reason === reason) &&
      (stage === undefined || group.stage === stage),
  );
  return hasRejection && (device === undefined || deviceOf(deadLetter) === device);
}

/** The device that the entry claims to be from, unchecked; null if it is not printable. */
export function deviceOf(deadLetter: StoredDeadLetter): string | null {
  const text = keptField(deadLetter, 'device_id')?.toString('latin1') ?? '';
  return /^[\x21-\x7e]{1,40}$/.test(text) ? text : null;
}

/** The filter as text for the audit, which never holds an IMEI. */
export function auditFilter(
  config: Pick<Config, 'audit'>,
  filter: DeadLetterFilter & ShardFlags,
): string {
  const { device } = filter;
  return filterText(
    device === undefined ? filter : { ...filter, device: deviceMark(config, device) },
  );
}

/** The filter as text for the operator. */
export function filterText(filter: DeadLetterFilter & ShardFlags): string {
  const { shard, id, reason, stage, device, since, until } = filter;
  const parts = Object.entries({
    shard,
    id,
    reason,
    stage,
    device,
    since: since === undefined ? undefined : new Date(since).toISOString(),
    until: until === undefined ? undefined : new Date(until).toISOString(),
  }).flatMap(([name, value]) => (value === undefined ? [] : [`${name}=${value}`]));
  return parts.length === 0 ? 'all' : parts.join(' ');
}
