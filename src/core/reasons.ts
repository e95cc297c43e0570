/** The closed lists of why a record or an entry is rejected. */

export const stages = ['decode', 'validate', 'write', 'conflict'] as const;
/** The processing stage that rejected a record. */
export type Stage = (typeof stages)[number];

export const decodeReasons = [
  'entry_too_large',
  'field_count',
  'field_missing',
  'field_repeated',
  'field_invalid',
  'form_unknown',
  'form_ambiguous',
  'frame_hex_invalid',
  'truncated',
  'trailing_bytes',
  'preamble_invalid',
  'length_mismatch',
  'crc_mismatch',
  'count_mismatch',
  'io_count_mismatch',
  'record_count_exceeded',
  'codec_unknown',
  'datagram_invalid',
  'message_invalid',
  'json_invalid',
  'json_too_deep',
  'payload_shape',
  'attribute_invalid',
  'attribute_count',
  'deliveries_exhausted',
] as const;
export type DecodeReason = (typeof decodeReasons)[number];

export const validateReasons = [
  'device_id_invalid',
  'device_id_mismatch',
  'ts_mismatch',
  'ts_out_of_range',
  'latitude_out_of_range',
  'longitude_out_of_range',
  'altitude_out_of_range',
  'angle_out_of_range',
  'speed_out_of_range',
  'satellites_out_of_range',
  'priority_out_of_range',
  'event_io_id_out_of_range',
  'generation_type_out_of_range',
] as const;
export type ValidateReason = (typeof validateReasons)[number];

export const writeReasons = [
  'row_value_invalid',
  'row_constraint_violated',
  'row_too_large',
  'row_frozen_chunk',
  'row_refused_by_policy',
  'row_refused_by_trigger',
  'row_skipped',
  'chunk_budget_exhausted',
  'row_unclassified',
] as const;
export type WriteReason = (typeof writeReasons)[number];

export const reasons = [...decodeReasons, ...validateReasons, ...writeReasons, 'conflict'] as const;
/** The closed list of a dead letter's reasons; also a metric label. */
export type Reason = (typeof reasons)[number];
