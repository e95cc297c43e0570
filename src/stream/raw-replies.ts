import { type Entry, EntryFields, type EntryId } from '../core/types.ts';
import { unexpectedReply } from './replies.ts';

const lf = 0x0a;
const cr = 0x0d;
const minus = 0x2d;
const plus = 0x2b;
const colon = 0x3a;
const dollar = 0x24;
const star = 0x2a;

/** Initial offsets per entry: start and end of name and value for five fields, of which a payload
 * entry has four and a frame entry three. */
const usualOffsets = 5 * 4;

/** Encodes commands as RESP, concatenated. */
export function encodeCommands(commands: readonly (readonly string[])[]): string {
  return commands
    .map(
      (words) =>
        `*${words.length}\r\n${words.map((word) => `$${Buffer.byteLength(word)}\r\n${word}\r\n`).join('')}`,
    )
    .join('');
}

/**
 * Finds the end of replies that arrive in chunks, by the lengths they announce. It skips values,
 * also where they extend into later chunks.
 */
export class ReplyEnd {
  /** Values still expected; each array adds its elements. */
  #left: number;
  /** Bytes still to skip. */
  #skip = 0;
  /** Type sign of the current line, which may have started in an earlier chunk; 0 between lines. */
  #sign = 0;
  /** Number of the current line so far; meaningless for a line of text. */
  #number = 0;
  #isNegative = false;

  constructor(replies: number) {
    this.#left = replies;
  }

  /** @returns whether the replies end with this chunk */
  push(chunk: Buffer): boolean {
    let at = 0;
    while (at < chunk.length) {
      if (this.#skip > 0) {
        const step = Math.min(this.#skip, chunk.length - at);
        this.#skip -= step;
        at += step;
      } else {
        at = this.#readLine(chunk, at);
      }
    }
    return this.#left === 0 && this.#skip === 0;
  }

  /** Reads to the end of the line or chunk, digit by digit: no string (measured: a third faster). */
  #readLine(chunk: Buffer, from: number): number {
    let at = from;
    if (this.#sign === 0) {
      this.#sign = chunk[at] ?? 0;
      this.#number = 0;
      this.#isNegative = false;
      at += 1;
    }
    let number = this.#number;
    for (; at < chunk.length; at += 1) {
      const byte = chunk[at] ?? 0;
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

  /** Handles one complete line: a value, or the length of one. */
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

/** Parses complete replies from their start. */
export class ReplyReader {
  readonly #bytes: Buffer;
  #at = 0;
  /** Field offsets of all entries of a reply, outside the heap: an array per entry was a tenth of the
   * garbage. */
  #offsets = new Uint32Array(0);
  /** Number of offsets in use. */
  #used = 0;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  /** Parses any value. @throws RedisAnswer if it is an error */
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
   * Parses an XREADGROUP of one stream: `[[key, [[id, [name, value, …]], …]]]` or nil. The fields
   * refer to the reply's bytes. All of them are first deliveries.
   * @param history of the server that replied
   * @throws RedisAnswer
   */
  entries(history: string | null): Entry[] {
    if (this.#bytes[this.#at] === minus) throw new RedisAnswer(this.#line());
    if (this.#header(star) < 0) return [];
    this.#header(star);
    this.value();
    const count = this.#header(star);
    this.#offsets = new Uint32Array(count * usualOffsets);
    this.#used = 0;
    const entries: Entry[] = [];
    for (let index = 0; index < count; index += 1) entries.push(this.#entry(history));
    return entries;
  }

  #entry(history: string | null): Entry {
    this.#header(star);
    // The only place where an id enters here: Redis prints it.
    const id = this.#text(this.#header(dollar)) as EntryId;
    const parts = this.#header(star);
    const offsets = this.#reserve(parts * 2);
    const from = this.#used;
    let at = from;
    let bytes = 0;
    for (let part = 0; part < parts; part += 1) {
      const length = this.#header(dollar);
      offsets[at] = this.#at;
      offsets[at + 1] = this.#at + length;
      at += 2;
      bytes += length;
      this.#at += length + 2;
    }
    this.#used = at;
    const fields = new EntryFields(this.#bytes, offsets, from, parts >> 1);
    return { id, source: 'new', deliveries: 1, fields, bytes, history };
  }

  /** Grows the buffer if needed. Earlier entries keep the old one, which does not change. */
  #reserve(more: number): Uint32Array {
    const needed = this.#used + more;
    if (needed > this.#offsets.length) {
      const larger = new Uint32Array(Math.max(needed, this.#offsets.length * 2));
      larger.set(this.#offsets);
      this.#offsets = larger;
    }
    return this.#offsets;
  }

  /** Parses the number after a type sign and moves past its line. */
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
