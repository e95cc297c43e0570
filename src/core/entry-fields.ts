/**
 * The fields of one entry, byte for byte, where they lie in the bytes of a whole reply: no copy
 * and no object for each name and value (measured: a Buffer for each of them was a third of the
 * CPU a record takes, most of it garbage collection).
 */
export class EntryFields {
  #bytes: Buffer;
  /** Start and end of each name and value: four numbers a field; of all entries of the reply. */
  #places: Uint32Array;
  /** Where ours begin. */
  #from: number;
  /** How many fields there are. */
  readonly count: number;

  constructor(bytes: Buffer, places: Uint32Array, from = 0, count = places.length >> 2) {
    this.#bytes = bytes;
    this.#places = places;
    this.#from = from;
    this.count = count;
  }

  nameLength(at: number): number {
    return this.#place(at, 1) - this.#place(at, 0);
  }

  valueLength(at: number): number {
    return this.#place(at, 3) - this.#place(at, 2);
  }

  name(at: number): Buffer {
    return this.#bytes.subarray(this.#place(at, 0), this.#place(at, 1));
  }

  value(at: number): Buffer {
    return this.#bytes.subarray(this.#place(at, 2), this.#place(at, 3));
  }

  /** The value, a character a byte. */
  text(at: number): string {
    return this.#bytes.toString('latin1', this.#place(at, 2), this.#place(at, 3));
  }

  /** Whether the name is this one. */
  isNamed(at: number, name: Buffer): boolean {
    const bytes = this.#bytes;
    const start = this.#place(at, 0);
    const { length } = name;
    if (this.#place(at, 1) - start !== length) return false;
    for (let index = 0; index < length; index += 1) {
      if (bytes[start + index] !== name[index]) return false;
    }
    return true;
  }

  /** name, value, name, value … */
  parts(): Buffer[] {
    return Array.from({ length: this.count }, (_, at) => [this.name(at), this.value(at)]).flat();
  }

  /** Sum of the lengths of all names and values. */
  get bytes(): number {
    let sum = 0;
    for (let at = 0; at < this.count; at += 1) sum += this.nameLength(at) + this.valueLength(at);
    return sum;
  }

  /** Copies the fields out of the reply, so that an entry held for long does not keep all of it. */
  detach(): void {
    const own = packFields(this.parts());
    this.#bytes = own.#bytes;
    this.#places = own.#places;
    this.#from = own.#from;
  }

  #place(at: number, part: number): number {
    return this.#places[this.#from + at * 4 + part] ?? 0;
  }
}

/** Fields from separate names and values: name, value, name, value …; a name alone is left out. */
export function packFields(parts: readonly Buffer[]): EntryFields {
  const places: number[] = [];
  let end = 0;
  for (const part of parts.slice(0, parts.length - (parts.length % 2))) {
    places.push(end, end + part.length);
    end += part.length;
  }
  return new EntryFields(Buffer.concat(parts), Uint32Array.from(places));
}
