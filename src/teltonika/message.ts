import { isUtf8 } from 'node:buffer';
import type { MessageCodec } from '../core/types.ts';
import { u8, u32, u64Rounded } from './bytes.ts';

/** The body of a message packet: the bytes between the first count and the second. */
export interface MessageBody {
  readonly codec: MessageCodec;
  readonly bytes: Buffer;
  /** Messages that the packet claims to hold. */
  readonly count: number;
  readonly start: number;
  readonly end: number;
}

/** The first message of a message packet, as far as it can be read. */
export interface Message {
  /** 5 command, 6 response, 17 refused (another device's IMEI), 13 camera transfer; others occur. */
  readonly type: number | null;
  readonly payload: Buffer;
  /** The payload as text; null when it is not UTF-8. */
  readonly text: string | null;
  /** 15 digits, of codecs 14 and 15; null when it is not one. */
  readonly imei: string | null;
  /** The same as the wire has it: 16 hex digits with a leading 0. */
  readonly imeiHex: string | null;
  /** Epoch milliseconds, of codecs 13 and 15; null when it cannot be read. */
  readonly timestamp: number | null;
  /** Bytes after the first message: further messages, or what its size left out. */
  readonly rest: Buffer;
  /**
   * The size that the first message states when the packet holds fewer bytes than that: `payload` is
   * then only what there is of it. Null when the message is whole.
   */
  readonly statedSize: number | null;
}

const typeAndSizeBytes = 5;
const imeiBytes = 8;
/** Codec 13 and 15 times are plausible from 2000-01-01 to 2106-02-07, where 32 bits end. */
const earliestMs = 946_684_800_000;
const latestMs = 0xffff_ffff * 1000;

/**
 * Reads the first message of a packet, and never refuses one: the inner layouts of codecs 12 to
 * 15 differ between the maker's own documents and devices, and the packet's length and CRC have
 * been checked. What does not fit the layout stays visible in `payload` or `rest`.
 */
export function parseMessage(body: MessageBody): Message {
  const { bytes, codec, start, end } = body;
  if (start + typeAndSizeBytes > end) return unreadable(bytes.subarray(start, end));
  const type = u8(bytes, start);
  const size = u32(bytes, start + 1);
  const from = start + typeAndSizeBytes;
  const available = end - from;
  // If the packet holds fewer bytes than the stated size, the whole body is one message.
  const usedSize = Math.min(size, available);
  const statedSize = size > available ? size : null;
  if (codec === '13') return withCodec13Time(type, bytes, from, end, size);

  let at = from;
  let timestamp: number | null = null;
  if (codec === '15' && usedSize >= 4) {
    timestamp = u32(bytes, at) * 1000;
    at += 4;
  }
  let imeiHex: string | null = null;
  if (codec !== '12' && from + usedSize - at >= imeiBytes) {
    imeiHex = bytes.toString('hex', at, at + imeiBytes);
    at += imeiBytes;
  }
  const payload = bytes.subarray(at, from + usedSize);
  return {
    type,
    payload,
    text: textOf(payload),
    imei: imeiHex === null ? null : imeiOf(imeiHex),
    imeiHex,
    timestamp,
    rest: bytes.subarray(from + usedSize, end),
    statedSize,
  };
}

/**
 * Codec 13's time is printed as 8 bytes of milliseconds and captured as 4 bytes of seconds, and
 * its size counts the time or does not. The width that gives a plausible date is taken; the size
 * is read as counting it unless exactly that many bytes are over.
 */
function withCodec13Time(
  type: number,
  bytes: Buffer,
  from: number,
  end: number,
  size: number,
): Message {
  const time = codec13Time(bytes, from, end);
  const available = end - from;
  const sizeLeavesTimeOut = size + time.width === available;
  const usedSize = sizeLeavesTimeOut ? available : Math.min(size, available);
  const messageEnd = Math.max(from + usedSize, from + time.width);
  const payload = bytes.subarray(from + time.width, messageEnd);
  return {
    type,
    payload,
    text: textOf(payload),
    imei: null,
    imeiHex: null,
    timestamp: time.ms,
    rest: bytes.subarray(messageEnd, end),
    statedSize: size > available ? size : null,
  };
}

function codec13Time(
  bytes: Buffer,
  at: number,
  end: number,
): { readonly width: 0 | 4 | 8; readonly ms: number | null } {
  if (at + 8 <= end) {
    const milliseconds = u64Rounded(bytes, at);
    if (plausible(milliseconds)) return { width: 8, ms: milliseconds };
  }
  if (at + 4 <= end) {
    const milliseconds = u32(bytes, at) * 1000;
    if (plausible(milliseconds)) return { width: 4, ms: milliseconds };
  }
  return { width: 0, ms: null };
}

function plausible(milliseconds: number): boolean {
  return milliseconds >= earliestMs && milliseconds <= latestMs;
}

function unreadable(payload: Buffer): Message {
  return {
    type: null,
    payload,
    text: textOf(payload),
    imei: null,
    imeiHex: null,
    timestamp: null,
    rest: Buffer.alloc(0),
    statedSize: null,
  };
}

/** Strips the one leading zero nibble: an IMEI may itself start with a zero. */
function imeiOf(hex: string): string | null {
  return /^0[0-9]{15}$/.test(hex) ? hex.slice(1) : null;
}

function textOf(payload: Buffer): string | null {
  return isUtf8(payload) ? payload.toString('utf8') : null;
}
