import { u8, u16, u32 } from './bytes.ts';
import { crc16 } from './crc16.ts';
import { type DecodeError, decodeError } from './decode-error.ts';
import { explainEnd, explainStart, foreignProtocol, hasDigits } from './foreign-bytes.ts';
import { truncated } from './io.ts';

/**
 * Maximum size of a frame in bytes. Devices limit a packet to 1,280 bytes, camera messages reach
 * 2,079, and firmware limits move: generous, but bounded.
 */
export const maxFrameBytes = 65_536;

export type Transport = 'tcp' | 'udp' | 'array';

/** A packet's data field, out of its wrapping: codec id to second record count. */
export interface Frame {
  readonly kind: 'frame';
  readonly transport: Transport;
  /** Offset of the codec id; there is at least this one byte. */
  readonly start: number;
  /** First byte after the data field. */
  readonly end: number;
  /** The IMEI of a UDP datagram, 15 digits; null for the other transports. */
  readonly imei: string | null;
}

const tcpHeaderBytes = 8;
const crcBytes = 4;
const imeiBytes = 15;
const handshakeBytes = 2 + imeiBytes;
/** Length 2, packet id 2, packet type 1, AVL packet id 1, IMEI length 2, IMEI 15. */
const udpHeaderBytes = 23;
const udpImeiLengthAt = 6;
export const udpImeiAt = 8;

/** Codec ids of positions: a bare AVL array starts with one of them. */
const positionCodecIds: readonly number[] = [0x07, 0x08, 0x8e, 0x10];

/**
 * Takes a packet out of its wrapping: TCP (preamble, length, CRC-16), one UDP channel packet, or
 * a bare AVL array. Lengths and the CRC are checked here, the inside is not. A datagram with
 * several channel packets is refused as `trailing_bytes`: the stream carries one packet an entry.
 */
export function openFrame(bytes: Buffer, skipCrc: boolean): Frame | DecodeError {
  const size = bytes.length;
  if (size > maxFrameBytes) {
    return decodeError(
      'entry_too_large',
      `a frame has at most ${maxFrameBytes} bytes, this one ${size}`,
      maxFrameBytes,
    );
  }
  if (size === 0) return truncated('frame', 0, 1, 0);
  if (size >= 4 ? u32(bytes, 0) === 0 : isZero(bytes)) return openTcp(bytes, skipCrc);
  if (isDatagram(bytes)) return openUdp(bytes);
  // MQTT begins with the byte of codec 16.
  if (positionCodecIds.includes(u8(bytes, 0)) && foreignProtocol(bytes) === null) {
    return { kind: 'frame', transport: 'array', start: 0, end: size, imei: null };
  }
  return unrecognised(bytes);
}

/** The IMEI of a TCP handshake (`000F` and 15 digits, nothing else), or null. */
export function handshakeImei(bytes: Buffer): string | null {
  if (bytes.length !== handshakeBytes || u16(bytes, 0) !== imeiBytes) return null;
  return hasDigits(bytes, 2, imeiBytes) ? bytes.toString('latin1', 2, handshakeBytes) : null;
}

function openTcp(bytes: Buffer, skipCrc: boolean): Frame | DecodeError {
  const size = bytes.length;
  if (size < tcpHeaderBytes) {
    return truncated('preamble and length', size, tcpHeaderBytes - size, size);
  }
  const length = u32(bytes, 4);
  if (length < 1) return decodeError('length_mismatch', 'the data field length is 0', 4);
  const end = tcpHeaderBytes + length;
  if (size < end + crcBytes) {
    return decodeError(
      'truncated',
      `a data field of ${length} bytes and its CRC end at ${end + crcBytes}, the frame at ${size}`,
      size,
    );
  }
  if (size > end + crcBytes) {
    return decodeError(
      'trailing_bytes',
      trailing(bytes, 'the frame', end + crcBytes),
      end + crcBytes,
    );
  }
  if (!skipCrc) {
    const stated = u32(bytes, end);
    const computed = crc16(bytes, tcpHeaderBytes, end);
    if (stated !== computed) {
      return decodeError('crc_mismatch', `the CRC says ${stated}, the bytes give ${computed}`, end);
    }
  }
  return { kind: 'frame', transport: 'tcp', start: tcpHeaderBytes, end, imei: null };
}

/**
 * The IMEI length marks a datagram. An array that starts with a codec id is one only if no
 * datagram fits better: length and digits must then agree too.
 */
function isDatagram(bytes: Buffer): boolean {
  if (bytes.length < udpImeiAt || u16(bytes, udpImeiLengthAt) !== imeiBytes) return false;
  if (!positionCodecIds.includes(u8(bytes, 0))) return true;
  return u16(bytes, 0) === bytes.length - 2 && hasDigits(bytes, udpImeiAt, imeiBytes);
}

function openUdp(bytes: Buffer): Frame | DecodeError {
  const size = bytes.length;
  const length = u16(bytes, 0);
  const end = length + 2;
  if (end <= udpHeaderBytes) {
    return decodeError(
      'length_mismatch',
      `a channel packet has more than ${udpHeaderBytes - 2} bytes, its length says ${length}`,
      0,
    );
  }
  if (size < end) {
    return decodeError(
      'truncated',
      `the channel packet ends at ${end}, the datagram at ${size}`,
      size,
    );
  }
  if (size > end) {
    return decodeError('trailing_bytes', trailing(bytes, 'the channel packet', end), end);
  }
  if (!hasDigits(bytes, udpImeiAt, imeiBytes)) {
    return decodeError('datagram_invalid', 'expected 15 digits as IMEI', udpImeiAt);
  }
  const imei = bytes.toString('latin1', udpImeiAt, udpHeaderBytes);
  return { kind: 'frame', transport: 'udp', start: udpHeaderBytes, end, imei };
}

function trailing(bytes: Buffer, what: string, end: number): string {
  const explained = explainEnd(bytes, end);
  const follows = `${what} ends at ${end}, ${bytes.length - end} bytes follow`;
  return explained === null ? follows : `${follows}: ${explained}`;
}

function unrecognised(bytes: Buffer): DecodeError {
  const size = bytes.length;
  if (handshakeImei(bytes) !== null) {
    return decodeError('datagram_invalid', explainStart(bytes) ?? '', 0);
  }
  const explained = explainStart(bytes);
  if (explained !== null) return decodeError('preamble_invalid', explained, 0);
  if (size >= 2 && u16(bytes, 0) === size - 2) {
    return decodeError(
      'datagram_invalid',
      'expected 000F, the IMEI length of a UDP channel packet',
      Math.min(udpImeiLengthAt, size),
    );
  }
  if (size < udpImeiAt && u8(bytes, 0) === 0) {
    return truncated('UDP channel header', size, udpHeaderBytes - size, size);
  }
  const first = u8(bytes, 0);
  if (first >= 0x0c && first <= 0x0f) {
    return decodeError(
      'message_invalid',
      'a message (codec 12 to 15) is only taken as a whole TCP or UDP packet',
      0,
    );
  }
  return decodeError(
    'preamble_invalid',
    'expected 00000000 (TCP), a UDP channel header or a codec id (7, 8, 8E, 16)',
    0,
  );
}

function isZero(bytes: Buffer): boolean {
  return bytes.every((byte) => byte === 0);
}
