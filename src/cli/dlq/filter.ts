import type { Config } from '../../config/load.ts';
import {
  keptField,
  type Malformed,
  type StoredDeadLetter,
} from '../../stream/stored-dead-letters.ts';
import { deviceMark } from '../device-mark.ts';

/** Which dead letters a command is about. */
export interface LetterFilter {
  /** The dead letter's own id. */
  readonly id?: string;
  readonly reason?: string;
  readonly stage?: string;
  readonly device?: string;
  /** Epoch milliseconds of the dead letter's own id. */
  readonly since?: number;
  readonly until?: number;
}

/** Whether it names anything at all. */
export function isEmptyFilter(filter: LetterFilter): boolean {
  const { id, reason, stage, device, since, until } = filter;
  return [id, reason, stage, device, since, until].every((part) => part === undefined);
}

/** The range of ids to read; the other parts of the filter are matched one by one. */
export function rangeOf({ id, since, until }: LetterFilter): { from: string; to: string } {
  if (id !== undefined) return { from: id, to: id };
  return {
    from: since === undefined ? '-' : String(since),
    to: until === undefined ? '+' : String(until),
  };
}

/**
 * Whether a dead letter matches. Reason and stage must be those of the same rejection. An entry
 * that the service did not write has none of them, and matches no filter on them.
 */
export function matches(letter: StoredDeadLetter | Malformed, filter: LetterFilter): boolean {
  const { reason, stage, device } = filter;
  if (letter.kind === 'malformed') {
    return reason === undefined && stage === undefined && device === undefined;
  }
  const isRejectedSo = letter.rejections.some(
    (group) =>
      (reason === undefined || group.reason === reason) &&
      (stage === undefined || group.stage === stage),
  );
  return isRejectedSo && (device === undefined || deviceOf(letter) === device);
}

/** What the entry said its device is, if that can be shown; nothing has checked it. */
export function deviceOf(letter: StoredDeadLetter): string | null {
  const text = keptField(letter, 'device_id')?.toString('latin1') ?? '';
  return /^[\x21-\x7e]{1,40}$/.test(text) ? text : null;
}

/** The same for the audit, which never holds an IMEI. */
export function auditFilter(config: Pick<Config, 'audit'>, filter: LetterFilter): string {
  const { device } = filter;
  return tellFilter(
    device === undefined ? filter : { ...filter, device: deviceMark(config, device) },
  );
}

/** The filter as one text, for the operator. */
export function tellFilter(filter: LetterFilter): string {
  const { id, reason, stage, device, since, until } = filter;
  const parts = Object.entries({
    id,
    reason,
    stage,
    device,
    since: since === undefined ? undefined : new Date(since).toISOString(),
    until: until === undefined ? undefined : new Date(until).toISOString(),
  }).flatMap(([name, value]) => (value === undefined ? [] : [`${name}=${value}`]));
  return parts.length === 0 ? 'all' : parts.join(' ');
}
