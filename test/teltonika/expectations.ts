import { expect } from 'vitest';
import { decodeReasons, type Position } from '../../src/core/types.ts';
import { attributesJson } from '../../src/teltonika/attributes.ts';
import { type AvlPacket, decodeFrame } from '../../src/teltonika/decode.ts';
import type { DecodeError } from '../../src/teltonika/decode-error.ts';
import { ioElements } from '../../src/teltonika/io.ts';
import { parseMessage } from '../../src/teltonika/message.ts';
import type { SentIo } from '../../tools/teltonika/encode.ts';

/** The positions with their attributes as texts, in whichever buffer the bytes are. */
export function withTexts(positions: readonly Position[]): Position[] {
  return positions.map((position) => ({ ...position, attributes: String(position.attributes) }));
}

export const plain = { skipCrc: false, io16: false, maxRecords: 255 } as const;

export function packetOf(bytes: Buffer, options = plain as Parameters<typeof decodeFrame>[1]) {
  const packet = decodeFrame(bytes, options);
  if (packet.kind !== 'records') throw new Error(`expected records, got ${JSON.stringify(packet)}`);
  return packet;
}

export function errorOf(bytes: Buffer, options = plain as Parameters<typeof decodeFrame>[1]) {
  const error = decodeFrame(bytes, options);
  if (error.kind !== 'error') throw new Error(`expected an error, got ${error.kind}`);
  expectWellFormed(error, bytes.length);
  return error;
}

export function expectWellFormed(error: DecodeError, length: number): void {
  expect(decodeReasons).toContain(error.code);
  expect(error.message.length).toBeGreaterThan(0);
  if (error.offset === null) return;
  expect(error.offset).toBeGreaterThanOrEqual(0);
  expect(error.offset).toBeLessThanOrEqual(length);
}

/**
 * Reads everything a decoded packet offers, and says what it was. Plain comparisons in place of
 * `expect`, which costs more than the decoder when it runs a hundred thousand times.
 */
export function exhaust(bytes: Buffer, options = plain as Parameters<typeof decodeFrame>[1]) {
  const packet = decodeFrame(bytes, options);
  switch (packet.kind) {
    case 'error':
      checkError(packet, bytes.length);
      return packet.kind;
    case 'message':
      checkMessage(bytes, parseMessage(packet.body));
      return packet.kind;
    case 'records':
      checkRecords(packet, bytes.length);
      return packet.kind;
  }
}

function checkError(error: DecodeError, length: number): void {
  const { code, message, offset } = error;
  const known = (decodeReasons as readonly string[]).includes(code);
  const inside = offset !== null && Number.isInteger(offset) && offset >= 0 && offset <= length;
  if (!known || message === '' || !inside) throw new Error(`ill-formed: ${JSON.stringify(error)}`);
}

function checkMessage(bytes: Buffer, message: ReturnType<typeof parseMessage>): void {
  if (message.payload.length + message.rest.length > bytes.length) {
    throw new Error('a message is longer than its packet');
  }
}

function checkRecords(packet: AvlPacket, length: number): void {
  for (const fault of packet.faults) checkError(fault.error, length);
  for (const record of packet.records) {
    const ids = new Set(ioElements(record.io).map(({ id }) => String(id)));
    const attributes: unknown = JSON.parse(String(attributesJson(record)));
    if (typeof attributes !== 'object' || attributes === null) throw new Error('not an object');
    const keys = Object.keys(attributes).filter((key) => /^[0-9]+$/.test(key));
    if (keys.length !== ids.size || !keys.every((key) => ids.has(key))) {
      throw new Error('attributes and IO elements differ');
    }
  }
}

/** What `attributesJson` must write, by the contract's words: last of an id wins, ids ascending. */
export function attributesOf(io: readonly SentIo[]): string {
  const last = new Map(io.map((element) => [element.id, element]));
  const ascending = [...last.values()].sort((one, other) => one.id - other.id);
  return `{${ascending.map((element) => `"${element.id}":${valueText(element)}`).join(',')}}`;
}

function valueText({ group, value }: SentIo): string {
  const hex = value.toString('hex');
  if (group === 'variable' || group === 16) return `"${hex}"`;
  const integer = BigInt(`0x${hex}`);
  return integer < 2n ** 53n ? `${integer}` : `"${integer}"`;
}
