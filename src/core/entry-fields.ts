import { ByteRange, hasBytesAt } from './byte-range.ts';

/**
 * The fields of one entry, as offsets into the bytes of the whole reply: no copy and no object for
 * each name and value (measured: a Buffer for each was a third of the CPU time of a record, most of
 * it garbage collection).
 */
export class EntryFields {
  #bytes: Buffer;
  /** Start and end of each name and value, four numbers a field, for all entries of the reply. */
  #offsets: Uint32Array;
  /** Index of this entry's first number in `#offsets`. */
  #from: number;
  readonly count: number;

  constructor(bytes: Buffer, offsets: Uint32Array, from = 0, count = offsets.length >> 2) {
    this.#bytes = bytes;
    this.#offsets = offsets;
    this.#from = from;
    this.count = count;
  }

  nameLength(at: number): number {
    return this.#offset(at, 1) - this.#offset(at, 0);
  }

  valueLength(at: number): number {
    return this.#offset(at, 3) - this.#offset(at, 2);
  }

  name(at: number): Buffer {
    return this.#bytes.subarray(this.#offset(at, 0), this.#offset(at, 1));
  }

  value(at: number): Buffer {
    return this.#bytes.subarray(this.#offset(at, 2), this.#offset(at, 3));
  }

  /** The value's bytes, without a view of them. */
  valueRange(at: number): ByteRange {
    return new ByteRange(this.#bytes, this.#offset(at, 2), this.#offset(at, 3));
  }

  /** The buffer that `valueStart` is an offset in. */
  get buffer(): Buffer {
    return this.#bytes;
  }

  /** Offset of the value's first byte in `buffer`. */
  valueStart(at: number): number {
    return this.#offset(at, 2);
  }

  /** The value as text, one character a byte (latin1). */
  text(at: number): string {
    return this.#bytes.toString('latin1', this.#offset(at, 2), this.#offset(at, 3));
  }

  /** Whether the field has this name. */
  isNamed(at: number, name: Buffer): boolean {
    return equals(this.#bytes, this.#offset(at, 0), this.#offset(at, 1), name);
  }

  /** Whether the field has this value. */
  hasValue(at: number, value: Buffer): boolean {
    return equals(this.#bytes, this.#offset(at, 2), this.#offset(at, 3), value);
  }

  /** Whether names and values are the same, in the same order. */
  equals(other: EntryFields): boolean {
    const parts = this.parts();
    const others = other.parts();
    return (
      parts.length === others.length &&
      parts.every((part, index) => others[index]?.equals(part) ?? false)
    );
  }

  /** Names and values in turn. */
  parts(): Buffer[] {
    return Array.from({ length: this.count }, (_, at) => [this.name(at), this.value(at)]).flat();
  }

  /** Sum of the lengths of all names and values. */
  get bytes(): number {
    let sum = 0;
    for (let at = 0; at < this.count; at += 1) sum += this.nameLength(at) + this.valueLength(at);
    return sum;
  }

  /** Copies the fields, so that an entry held for long does not keep the whole reply in memory. */
  detach(): void {
    const own = packFields(this.parts());
    this.#bytes = own.#bytes;
    this.#offsets = own.#offsets;
    this.#from = own.#from;
  }

  #offset(at: number, part: number): number {
    return this.#offsets[this.#from + at * 4 + part] ?? 0;
  }
}

function equals(bytes: Buffer, start: number, end: number, expected: Buffer): boolean {
  return end - start === expected.length && hasBytesAt(bytes, start, expected);
}

/** Builds fields from names and values in turn; a last name without a value is ignored. */
export function packFields(parts: readonly Buffer[]): EntryFields {
  const offsets: number[] = [];
  let end = 0;
  for (const part of parts.slice(0, parts.length - (parts.length % 2))) {
    offsets.push(end, end + part.length);
    end += part.length;
  }
  return new EntryFields(Buffer.concat(parts), Uint32Array.from(offsets));
}
