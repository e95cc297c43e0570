import { createHash } from 'node:crypto';
import type { Entry, Rejection } from '../core/types.ts';

export interface LetterOptions {
  readonly instance: string;
  /** A larger field keeps length, SHA-256 and prefix. */
  readonly maxFieldBytes: number;
}

const prefixBytes = 1024;

/**
 * The fields of one dead letter, flat: what happened, then the original entry's fields with
 * `f:` before each name, byte for byte. Enough to replay. Of a field past the cap stay
 * `f:<name>` with its first 1024 bytes, `cut:<name>` with its length and `sha256:<name>`.
 */
export function composeLetter(
  entry: Entry,
  rejection: Rejection,
  atMs: number,
  options: LetterOptions,
): (string | Buffer)[] {
  return [
    ...['entry_id', entry.id],
    ...['stage', rejection.stage],
    ...['reason', rejection.reason],
    ...['message', rejection.message.slice(0, 500)],
    ...['record_index', rejection.recordIndex === null ? '' : String(rejection.recordIndex)],
    ...['offset', rejection.offset === null ? '' : String(rejection.offset)],
    ...['instance', options.instance],
    ...['at', new Date(atMs).toISOString()],
    ...originalFields(entry, options.maxFieldBytes),
  ];
}

function originalFields(entry: Entry, maxFieldBytes: number): (string | Buffer)[] {
  const letter: (string | Buffer)[] = [];
  const { fields } = entry;
  for (let at = 0; at < fields.count; at += 1) {
    if (letter.length >= maxLetterItems) {
      letter.push('fields_left_out', String(fields.count - at));
      break;
    }
    const name = fields.name(at);
    const value = fields.value(at);
    const shown = name.length > 256 ? name.subarray(0, 256) : name;
    if (value.length <= maxFieldBytes) {
      letter.push(prefixed('f:', shown), value);
    } else {
      const sha256 = createHash('sha256').update(value).digest('hex');
      letter.push(prefixed('f:', shown), value.subarray(0, prefixBytes));
      letter.push(prefixed('cut:', shown), String(value.length));
      letter.push(prefixed('sha256:', shown), sha256);
    }
  }
  return letter;
}

/** 64 fields of an entry, as names and values. */
const maxLetterItems = 128;

function prefixed(prefix: string, name: Buffer): Buffer {
  return Buffer.concat([Buffer.from(prefix), name]);
}
