import type { Codec, Position, Rejection, ValidateReason } from '../core/types.ts';

/** The time window, in milliseconds; the clock is passed in. */
export interface TimeWindow {
  readonly nowMs: number;
  readonly tsMaxPastMs: number;
  readonly tsMaxFutureMs: number;
}

/** A field that is out of its range, and the range that was expected. */
export interface RangeProblem {
  readonly reason: ValidateReason;
  readonly message: string;
}

/** The values of a record, of either kind of entry, before validation. */
export type RecordFields = Omit<Position, 'deviceId' | 'fix' | 'recordIndex' | 'attributes'>;

/**
 * The first field out of range, or null. The ranges are the wire's widths, not what trackers
 * usually send: 248 satellites and priority 3 occur. Codec 7 writes the altitude unsigned and the
 * angle in 256ths of a turn; every other codec has a signed altitude and whole degrees.
 */
export function rangeProblem(fields: RecordFields, window: TimeWindow): RangeProblem | null {
  const { latitude, longitude, codec } = fields;
  const { nowMs, tsMaxPastMs, tsMaxFutureMs } = window;
  // Written so that NaN is out of every range.
  if (!(fields.ts >= nowMs - tsMaxPastMs && fields.ts <= nowMs + tsMaxFutureMs)) {
    return {
      reason: 'ts_out_of_range',
      message: `expected no older than ${spanText(tsMaxPastMs)}, no more than ${spanText(tsMaxFutureMs)} ahead`,
    };
  }
  if (latitude !== null && !(latitude >= -90 && latitude <= 90)) {
    return { reason: 'latitude_out_of_range', message: 'expected -90 to 90 degrees' };
  }
  if (longitude !== null && !(longitude >= -180 && longitude <= 180)) {
    return { reason: 'longitude_out_of_range', message: 'expected -180 to 180 degrees' };
  }
  if (!isInteger(fields.altitude, -32_768, codec === '7' ? 65_535 : 32_767)) {
    return integerProblem('altitude_out_of_range', -32_768, codec === '7' ? 65_535 : 32_767);
  }
  if (!isAngle(fields.angle, codec)) {
    return { reason: 'angle_out_of_range', message: 'expected 0 to 360 whole degrees' };
  }
  if (!isInteger(fields.speed, 0, 65_535)) return integerProblem('speed_out_of_range', 0, 65_535);
  if (!isInteger(fields.satellites, 0, 255)) {
    return integerProblem('satellites_out_of_range', 0, 255);
  }
  if (!isInteger(fields.priority, 0, 255)) return integerProblem('priority_out_of_range', 0, 255);
  if (!isInteger(fields.eventIoId, 0, 65_535)) {
    return integerProblem('event_io_id_out_of_range', 0, 65_535);
  }
  if (!isInteger(fields.generationType, 0, 255)) {
    return integerProblem('generation_type_out_of_range', 0, 255);
  }
  return null;
}

/** Writes a limit of the configuration in the largest unit of which it is a whole number. */
function spanText(ms: number): string {
  const units = [
    ['year', 366 * 86_400_000],
    ['day', 86_400_000],
    ['hour', 3_600_000],
    ['minute', 60_000],
    ['second', 1000],
  ] as const;
  for (const [name, unitMs] of units) {
    const count = ms / unitMs;
    if (Number.isInteger(count) && count > 0) return `${count} ${name}${count === 1 ? '' : 's'}`;
  }
  return `${ms} ms`;
}

/** Null, a part that the record does not carry, is valid. */
function isInteger(value: number | null, min: number, max: number): boolean {
  return value === null || (value >= min && value <= max && Number.isInteger(value));
}

function isAngle(angle: number | null, codec: Codec): boolean {
  if (angle === null) return true;
  return angle >= 0 && angle <= 360 && (codec === '7' || Number.isInteger(angle));
}

function integerProblem(reason: ValidateReason, min: number, max: number): RangeProblem {
  return { reason, message: `expected an integer from ${min} to ${max}` };
}

/**
 * Whether a position counts: satellites in use, and not the 0/0 that devices send after a reboot
 * until their first fix (FMB system settings; measured: no record had satellites and 0/0).
 */
export function hasFix(
  latitude: number | null,
  longitude: number | null,
  satellites: number | null,
): boolean {
  if (latitude === null || longitude === null || satellites === null) return false;
  return satellites > 0 && (latitude !== 0 || longitude !== 0);
}

export function validateRejection(
  problem: RangeProblem,
  recordIndex: number | null,
  offset: number | null,
): Rejection {
  return { stage: 'validate', ...problem, recordIndex, offset };
}
