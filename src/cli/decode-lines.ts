import type { Readable } from 'node:stream';

/** A line may hold 64 KiB of packet as hex or base64, or a payload, and its JSON around it. */
export const MAX_LINE_BYTES = 262_144;
const NEWLINE = 0x0a;
const SPACE = 0x20;

/** Lines that are not blank; null stands for one longer than the bound, which is skipped. */
export async function* linesOf(stdin: Readable): AsyncGenerator<Buffer | null> {
  let pieces: Buffer[] = [];
  let size = 0;
  const take = (): Buffer | null => {
    const line = size > MAX_LINE_BYTES ? null : Buffer.concat(pieces);
    pieces = [];
    size = 0;
    return line;
  };
  for await (const chunk of stdin) {
    const bytes: Buffer = Buffer.isBuffer(chunk) ? chunk : Buffer.from(String(chunk));
    let start = 0;
    while (start <= bytes.length) {
      const newline = bytes.indexOf(NEWLINE, start);
      const end = newline === -1 ? bytes.length : newline;
      size += end - start;
      if (size > MAX_LINE_BYTES) pieces = [];
      else pieces.push(bytes.subarray(start, end));
      if (newline === -1) break;
      const line = take();
      if (!isBlank(line)) yield line;
      start = newline + 1;
    }
  }
  const last = take();
  if (!isBlank(last)) yield last;
}

function isBlank(line: Buffer | null): boolean {
  return line?.every((byte) => byte <= SPACE) ?? false;
}
