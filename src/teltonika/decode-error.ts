import type { DecodeReason } from '../core/types.ts';

/** The reason bytes or JSON could not be decoded. A plain value: this module does not throw. */
export interface DecodeError {
  readonly kind: 'error';
  readonly code: DecodeReason;
  /** What was expected; holds numbers of the input, never its text. */
  readonly message: string;
  /** Byte offset in the input, from 0 to its length; null where an offset means nothing. */
  readonly offset: number | null;
}

export function decodeError(
  code: DecodeReason,
  message: string,
  offset: number | null,
): DecodeError {
  return { kind: 'error', code, message, offset };
}
