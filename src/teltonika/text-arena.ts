import { ByteRange } from '../core/types.ts';

/** Bytes of one allocation: the texts of some hundreds of records. */
const arenaBytes = 131_072;

/**
 * Space for texts that outlive the call that writes them, such as the attributes of a record. Texts are
 * written one behind the other into a large buffer outside the heap; a text of its own for each record
 * was a third of the garbage. A buffer is freed when no range of it is left.
 */
export class TextArena {
  #bytes = Buffer.allocUnsafeSlow(arenaBytes);
  #used = 0;

  /** The buffer to write to, from `at`; it has space for `maxBytes`. */
  reserve(maxBytes: number): Buffer {
    if (this.#used + maxBytes > this.#bytes.length) {
      this.#bytes = Buffer.allocUnsafeSlow(Math.max(arenaBytes, maxBytes));
      this.#used = 0;
    }
    return this.#bytes;
  }

  /** Offset of the first free byte. */
  get at(): number {
    return this.#used;
  }

  /** Takes the bytes from `at` to `end`; they are not written again. */
  take(end: number): ByteRange {
    const start = this.#used;
    this.#used = end;
    return new ByteRange(this.#bytes, start, end);
  }
}
