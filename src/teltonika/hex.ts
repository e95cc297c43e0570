import { type DecodeError, decodeError } from './decode-error.ts';

const prefix = /^0x/i;
const blanks = /\s+/g;
const notHex = /[^0-9a-fA-F]/;

/**
 * Bytes of a hex text. Blanks anywhere and one leading `0x` are tolerated, nothing else;
 * the offset of an error counts characters without them.
 */
export function parseHex(given: string): Buffer | DecodeError {
  const text = given.replace(blanks, '').replace(prefix, '');
  const wrong = text.search(notHex);
  if (wrong !== -1) return decodeError('frame_hex_invalid', 'expected a hex digit', wrong);
  if (text.length % 2 !== 0) {
    return decodeError(
      'frame_hex_invalid',
      `expected an even number of hex digits, got ${text.length}`,
      text.length,
    );
  }
  return Buffer.from(text, 'hex');
}
