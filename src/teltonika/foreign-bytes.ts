import { u8, u16, u32 } from './bytes.ts';

/** A device sends it between packets to keep the connection open; it belongs to no packet. */
const keepAlive = 0xff;
const imeiBytes = 15;
const handshakeBytes = 2 + imeiBytes;
const lineFeed = 0x0a;
const carriageReturn = 0x0d;
/** Bytes looked at before a text is taken for hex digits. */
const hexSampleBytes = 64;

interface Protocol {
  readonly name: string;
  readonly start: Buffer;
  readonly at: number;
}

const text = (name: string, start: string): Protocol => ({
  name,
  start: Buffer.from(start, 'latin1'),
  at: 0,
});
const binary = (name: string, hex: string, at = 0): Protocol => ({
  name,
  start: Buffer.from(hex, 'hex'),
  at,
});

/** What reaches an open port, or a producer that mixes up its inputs. */
const protocols: readonly Protocol[] = [
  ...['GET ', 'POST ', 'HEAD ', 'PUT ', 'OPTIONS ', 'CONNECT ', 'PRI * ', 'HTTP/'].map((word) =>
    text('HTTP', word),
  ),
  binary('TLS', '160301'),
  binary('TLS', '160303'),
  text('SSH', 'SSH-'),
  binary('MQTT', '00044d515454', 2),
  text('the PROXY protocol', 'PROXY '),
  binary('the PROXY protocol', '0d0a0d0a000d0a51'),
  binary('GT06 (Concox)', '7878'),
  binary('GT06 (Concox)', '7979'),
  text('H02', '*HQ'),
  text('Queclink', '+RESP'),
  text('Queclink', '+BUFF'),
  text('NMEA', '$G'),
  text('JSON', '{'),
];

/** The name of the protocol whose first bytes these are, or null. */
export function foreignProtocol(bytes: Buffer): string | null {
  const found = protocols.find(
    ({ start, at }) => bytes.subarray(at, at + start.length).compare(start) === 0,
  );
  return found?.name ?? null;
}

/** What stands before a packet that is whole otherwise, or in its place; null when nothing is known. */
export function explainStart(bytes: Buffer): string | null {
  if (u8(bytes, 0) === keepAlive) return explainKeepAlive(bytes);
  if (isHandshake(bytes)) {
    return bytes.length === handshakeBytes
      ? 'this is an IMEI login (000F and 15 digits), not an AVL packet'
      : 'an IMEI login (000F and 15 digits) stands before the packet; one entry takes one packet only';
  }
  if (isLineEnd(u8(bytes, 0))) return 'a line end stands before the packet';
  if (isHexText(bytes)) return 'these are hex digits as text; hex goes in the field frame_hex';
  const protocol = foreignProtocol(bytes);
  return protocol === null ? null : `this looks like ${protocol}, not like an AVL packet`;
}

function explainKeepAlive(bytes: Buffer): string {
  return bytes.every((byte) => byte === keepAlive)
    ? 'this is a keep-alive (FF), not an AVL packet'
    : 'a keep-alive (FF) stands before the packet; it belongs to no packet';
}

/** What the bytes behind a whole packet are; null when nothing is known. */
export function explainEnd(bytes: Buffer, end: number): string | null {
  const rest = bytes.subarray(end);
  if (rest.every((byte) => byte === keepAlive)) return 'a keep-alive (FF) belongs to no packet';
  if (rest.every(isLineEnd)) return 'a line end';
  if (rest.length >= 4 && u32(rest, 0) === 0) return 'another packet; one entry takes one packet';
  return null;
}

function isLineEnd(byte: number): boolean {
  return byte === lineFeed || byte === carriageReturn;
}

function isHandshake(bytes: Buffer): boolean {
  return (
    bytes.length >= handshakeBytes && u16(bytes, 0) === imeiBytes && hasDigits(bytes, 2, imeiBytes)
  );
}

function isHexText(bytes: Buffer): boolean {
  const sample = bytes.subarray(0, hexSampleBytes).toString('latin1');
  return /^[0-9a-fA-F]{8,}$/.test(sample);
}

/** Whether all of these bytes are there and are ASCII digits. */
export function hasDigits(bytes: Buffer, start: number, count: number): boolean {
  if (bytes.length < start + count) return false;
  for (let at = start; at < start + count; at += 1) {
    const byte = u8(bytes, at);
    if (byte < 0x30 || byte > 0x39) return false;
  }
  return true;
}
