import { createHash } from 'node:crypto';
import type { Entry, Rejection } from '../core/types.ts';
import { groupRejections, rejectionsText } from './rejections.ts';

export interface DeadLetterOptions {
  readonly instance: string;
  /** Maximum size of a field; of a larger one the length, SHA-256 and prefix are kept. */
  readonly maxFieldBytes: number;
}

/** The shape written by `composeDeadLetter`; shape 1 had one dead letter per rejected record. */
const deadLetterVersion = 2;
const prefixBytes = 1024;
const maxNameBytes = 256;
const maxFields = 64;
/** Maximum size of all values of one dead letter together, as a multiple of `maxFieldBytes`. */
const maxWholeFields = 4;

/**
 * Returns the fields of one dead letter, flat: what happened to the entry, then the entry's own
 * fields with the prefix `f:`, byte for byte. `stage` to `offset` are those of the first rejection,
 * which a version that knows shape 1 reads. A field past the limit becomes `f:<name>` with its
 * first 1024 bytes, `cut:<name>` with its length, and `sha256:<name>`. `fields_sha256` covers
 * all names and values of the entry, so that a replay can prove that it sends the same.
 */
export function composeDeadLetter(
  entry: Entry,
  rejections: readonly Rejection[],
  atMs: number,
  options: DeadLetterOptions,
): (string | Buffer)[] {
  const [first] = rejections;
  if (first === undefined) throw new TypeError('an entry without rejections has no dead letter');
  const own = [
    ['version', String(deadLetterVersion)],
    ['entry_id', entry.id],
    ['stage', first.stage],
    ['reason', first.reason],
    ['message', first.message.slice(0, 500)],
    ['record_index', first.recordIndex === null ? '' : String(first.recordIndex)],
    ['offset', first.offset === null ? '' : String(first.offset)],
    ['instance', options.instance],
    ['at', new Date(atMs).toISOString()],
    ['records', String(rejections.length)],
    ['rejections', rejectionsText(groupRejections(rejections))],
    ['fields_sha256', digestFields(entry.fields.parts())],
  ];
  return [...own.flat(), ...originalFields(entry, options.maxFieldBytes)];
}

/** The SHA-256 of names and values in their order, each with its length before it. */
export function digestFields(parts: readonly Buffer[]): string {
  const hash = createHash('sha256');
  for (const part of parts) {
    const length = Buffer.alloc(4);
    length.writeUInt32BE(part.length);
    hash.update(length).update(part);
  }
  return hash.digest('hex');
}

function originalFields({ fields }: Entry, maxFieldBytes: number): (string | Buffer)[] {
  const kept: (string | Buffer)[] = [];
  let left = maxFieldBytes * maxWholeFields;
  let cutNames = 0;
  for (let index = 0; index < Math.min(fields.count, maxFields); index += 1) {
    const whole = fields.name(index);
    const name = whole.subarray(0, maxNameBytes);
    if (name.length < whole.length) cutNames += 1;
    const value = fields.value(index);
    const field = keepField(name, value, Math.min(left, maxFieldBytes));
    kept.push(...field);
    left = Math.max(0, left - value.length);
  }
  if (cutNames > 0) kept.push('names_cut', String(cutNames));
  if (fields.count > maxFields) kept.push('fields_left_out', String(fields.count - maxFields));
  return kept;
}

function keepField(name: Buffer, value: Buffer, limit: number): (string | Buffer)[] {
  if (value.length <= Math.max(limit, prefixBytes)) return [prefixed('f:', name), value];
  const sha256 = createHash('sha256').update(value).digest('hex');
  const kept: (string | Buffer)[][] = [
    [prefixed('f:', name), value.subarray(0, prefixBytes)],
    [prefixed('cut:', name), String(value.length)],
    [prefixed('sha256:', name), sha256],
  ];
  return kept.flat();
}

function prefixed(prefix: string, name: Buffer): Buffer {
  return Buffer.concat([Buffer.from(prefix), name]);
}
