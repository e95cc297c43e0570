import { EntryFields, type EntryId } from '../core/types.ts';
import { unexpectedReply } from './replies.ts';

const lf = 0x0a;
const cr = 0x0d;
const minus = 0x2d;
const plus = 0x2b;
const colon = 0x3a;
const dollar = 0x24;
const star = 0x2a;

/** Start and end of name and value, for five fields: a payload's form has four, a frame's three. */
const usualPlaces = 5 * 4;

/** Commands as RESP, one behind the other. */
export function encodeCommands(commands: readonly (readonly string[])[]): string {
  return commands
    .map(
      (words) =>
        `*${words.length}\r\n${words.map((word) => `$${Buffer.byteLength(word)}\r\n${word}\r\n`).join('')}`,
    )
    .join('');
}

/**
 * Finds where replies end while they arrive in pieces, by the lengths they announce. Values are
 * stepped over, also when they reach into pieces that are still to come.
 */
export class ReplyEnd {
  /** Values still to come; each array brings its elements. */
  #left: number;
  /** Bytes still to step over. */
  #skip = 0;
  /** The sign of the line under way, which may have begun in an earlier piece; 0 between lines. */
  #sign = 0;
  /** Its number so far; of no meaning for a line of text. */
  #number = 0;
  #isNegative = false;

  constructor(replies: number) {
    this.#left = replies;
  }

  /** @returns true when the replies end with this piece */
  push(piece: Buffer): boolean {
    let at = 0;
    while (at < piece.length) {
      if (this.#skip > 0) {
        const step = Math.min(this.#skip, piece.length - at);
        this.#skip -= step;
        at += step;
      } else {
        at = this.#readLine(piece, at);
      }
    }
    return this.#left === 0 && this.#skip === 0;
  }

  /** Up to the line's end, or the piece's; digit by digit, without a text (measured: a third). */
  #readLine(piece: Buffer, from: number): number {
    let at = from;
    if (this.#sign === 0) {
      this.#sign = piece[at] ?? 0;
      this.#number = 0;
      this.#isNegative = false;
      at += 1;
    }
    let number = this.#number;
    for (; at < piece.length; at += 1) {
      const byte = piece[at] ?? 0;
      if (byte === lf) {
        this.#endLine(number);
        return at + 1;
      }
      if (byte === minus) this.#isNegative = true;
      else if (byte !== cr) number = number * 10 + (byte - 0x30);
    }
    this.#number = number;
    return at;
  }

  /** One whole line: a value, or what announces one. */
  #endLine(number: number): void {
    const sign = this.#sign;
    this.#sign = 0;
    this.#left -= 1;
    if (this.#isNegative) return;
    if (sign === dollar) this.#skip = number + 2;
    if (sign === star) this.#left += number;
  }
}

/** A Redis error reply; its message begins with the error word. */
export class RedisAnswer extends Error {
  override readonly name = 'RedisAnswer';
  readonly code: string;

  constructor(message: string) {
    super(message);
    this.code = /^[A-Z]+/.exec(message)?.[0] ?? 'ERR';
  }
}

/** Walks through whole replies from their start. */
export class ReplyReader {
  readonly #bytes: Buffer;
  #at = 0;
  /** Of all entries of a reply, outside the heap: an array an entry was a tenth of the garbage. */
  #places = new Uint32Array(0);
  /** How many of them are taken. */
  #placed = 0;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  /** Any value, as JavaScript has it. @throws RedisAnswer when it is an error */
  value(): unknown {
    switch (this.#bytes[this.#at]) {
      case star: {
        const count = this.#header(star);
        return count < 0 ? null : Array.from({ length: count }, () => this.value());
      }
      case dollar: {
        const length = this.#header(dollar);
        return length < 0 ? null : this.#text(length);
      }
      case colon:
        return this.#header(colon);
      case plus:
        return this.#line();
      case minus:
        throw new RedisAnswer(this.#line());
      default:
        throw unexpectedReply('redis');
    }
  }

  /**
   * The entries of an XREADGROUP of one stream: `[[key, [[id, [name, value, …]], …]]]` or nil.
   * Their fields stay where they lie. @throws RedisAnswer
   */
  entries(): { id: EntryId; fields: EntryFields; bytes: number }[] {
    if (this.#bytes[this.#at] === minus) throw new RedisAnswer(this.#line());
    if (this.#header(star) < 0) return [];
    this.#header(star);
    this.value();
    const count = this.#header(star);
    this.#places = new Uint32Array(count * usualPlaces);
    this.#placed = 0;
    const entries = [];
    for (let index = 0; index < count; index += 1) entries.push(this.#entry());
    return entries;
  }

  #entry(): { id: EntryId; fields: EntryFields; bytes: number } {
    this.#header(star);
    // Redis prints its ids; this is where one enters.
    const id = this.#text(this.#header(dollar)) as EntryId;
    const parts = this.#header(star);
    const places = this.#roomFor(parts * 2);
    const from = this.#placed;
    let at = from;
    let bytes = 0;
    for (let part = 0; part < parts; part += 1) {
      const length = this.#header(dollar);
      places[at] = this.#at;
      places[at + 1] = this.#at + length;
      at += 2;
      bytes += length;
      this.#at += length + 2;
    }
    this.#placed = at;
    return { id, fields: new EntryFields(this.#bytes, places, from, parts >> 1), bytes };
  }

  /** Entries with what stood before they were too many keep it: it stays as it is. */
  #roomFor(more: number): Uint32Array {
    const needed = this.#placed + more;
    if (needed > this.#places.length) {
      const larger = new Uint32Array(Math.max(needed, this.#places.length * 2));
      larger.set(this.#places);
      this.#places = larger;
    }
    return this.#places;
  }

  /** The number behind a type's sign; moves past its line. */
  #header(kind: number): number {
    const bytes = this.#bytes;
    let at = this.#at;
    if (bytes[at] !== kind) throw unexpectedReply('redis');
    at += 1;
    const isNegative = bytes[at] === minus;
    if (isNegative) at += 1;
    let value = 0;
    for (let byte = bytes[at] ?? cr; byte !== cr; at += 1, byte = bytes[at] ?? cr) {
      value = value * 10 + (byte - 0x30);
    }
    this.#at = at + 2;
    return isNegative ? -value : value;
  }

  #text(length: number): string {
    const text = this.#bytes.toString('latin1', this.#at, this.#at + length);
    this.#at += length + 2;
    return text;
  }

  #line(): string {
    const end = this.#bytes.indexOf(cr, this.#at);
    const text = this.#bytes.toString('latin1', this.#at + 1, end);
    this.#at = end + 2;
    return text;
  }
}
