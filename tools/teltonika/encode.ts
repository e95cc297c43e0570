/** The wire format written from the documents' side, independent of the decoder it tests. */

export type AvlCodec = '8' | '8E' | '16';
export type IoGroup = 1 | 2 | 4 | 8 | 16 | 'variable';

export interface SentIo {
  readonly id: number;
  readonly group: IoGroup;
  readonly value: Buffer;
}

export interface SentRecord {
  readonly ts: bigint;
  readonly priority: number;
  /** Degrees times 10^7, as on the wire. */
  readonly longitude: number;
  readonly latitude: number;
  readonly altitude: number;
  readonly angle: number;
  readonly satellites: number;
  readonly speed: number;
  readonly eventIoId: number;
  readonly generationType: number;
  readonly io: readonly SentIo[];
}

export interface SentCodec7 {
  /** Seconds since 2007-01-01, 30 bits. */
  readonly seconds: number;
  readonly priority: number;
  readonly gps: {
    readonly coordinates?: { readonly latitude: number; readonly longitude: number };
    readonly altitude?: number;
    /** 256ths of a turn. */
    readonly angle?: number;
    readonly speed?: number;
    readonly satellites?: number;
    readonly cell?: { readonly lac: number; readonly cid: number };
    readonly rssi?: number;
    readonly operator?: number;
  } | null;
  readonly io: readonly SentIo[];
}

const codecIds = { '7': 0x07, '8': 0x08, '8E': 0x8e, '16': 0x10 } as const;

export function uint(value: number | bigint, width: number): Buffer {
  const bytes = Buffer.alloc(width);
  let rest = BigInt.asUintN(width * 8, BigInt(value));
  for (let at = width - 1; at >= 0; at--) {
    bytes[at] = Number(rest & 0xffn);
    rest >>= 8n;
  }
  return bytes;
}

export function encodeRecord(codec: AvlCodec, sent: SentRecord, io16 = false): Buffer {
  const idBytes = codec === '8' ? 1 : 2;
  const countBytes = codec === '8E' ? 2 : 1;
  const groups: IoGroup[] = [1, 2, 4, 8];
  if (io16) groups.push(16);
  if (codec === '8E') groups.push('variable');
  return Buffer.concat([
    uint(sent.ts, 8),
    uint(sent.priority, 1),
    uint(sent.longitude, 4),
    uint(sent.latitude, 4),
    uint(sent.altitude, 2),
    uint(sent.angle, 2),
    uint(sent.satellites, 1),
    uint(sent.speed, 2),
    uint(sent.eventIoId, idBytes),
    ...(codec === '16' ? [uint(sent.generationType, 1)] : []),
    uint(sent.io.length, countBytes),
    ...groups.map((group) => encodeGroup(group, sent.io, idBytes, countBytes)),
  ]);
}

export function encodeCodec7(sent: SentCodec7): Buffer {
  const widths = [1, 2, 4] as const;
  const { gps } = sent;
  let mask = gps === null ? 0 : 1;
  const groups: Buffer[] = [];
  widths.forEach((width, bit) => {
    if (!sent.io.some(({ group }) => group === width)) return;
    mask |= 2 << bit;
    groups.push(encodeGroup(width, sent.io, 1, 1));
  });
  const head = sent.priority * 2 ** 30 + sent.seconds;
  return Buffer.concat([
    uint(head, 4),
    uint(mask, 1),
    gps === null ? Buffer.alloc(0) : encodeGps(gps),
    ...groups,
  ]);
}

function encodeGps(gps: NonNullable<SentCodec7['gps']>): Buffer {
  const { coordinates, cell } = gps;
  const parts: (Buffer | null)[] = [
    coordinates === undefined
      ? null
      : Buffer.concat([float(coordinates.latitude), float(coordinates.longitude)]),
    gps.altitude === undefined ? null : uint(gps.altitude, 2),
    gps.angle === undefined ? null : uint(gps.angle, 1),
    gps.speed === undefined ? null : uint(gps.speed, 1),
    gps.satellites === undefined ? null : uint(gps.satellites, 1),
    cell === undefined ? null : Buffer.concat([uint(cell.lac, 2), uint(cell.cid, 2)]),
    gps.rssi === undefined ? null : uint(gps.rssi, 1),
    gps.operator === undefined ? null : uint(gps.operator, 4),
  ];
  const mask = parts.reduce((sum, part, bit) => sum + (part === null ? 0 : 1 << bit), 0);
  return Buffer.concat([uint(mask, 1), ...parts.filter((part) => part !== null)]);
}

function float(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeFloatBE(value);
  return bytes;
}

function encodeGroup(
  group: IoGroup,
  io: readonly SentIo[],
  idBytes: number,
  countBytes: number,
): Buffer {
  const members = io.filter((element) => element.group === group);
  return Buffer.concat([
    uint(members.length, countBytes),
    ...members.flatMap(({ id, value }) => [
      uint(id, idBytes),
      ...(group === 'variable' ? [uint(value.length, 2)] : []),
      value,
    ]),
  ]);
}

export function encodeArray(codec: keyof typeof codecIds, records: readonly Buffer[]): Buffer {
  return Buffer.concat([
    uint(codecIds[codec], 1),
    uint(records.length, 1),
    ...records,
    uint(records.length, 1),
  ]);
}

export function encodeMessage(codecId: number, count: number, body: Buffer): Buffer {
  return Buffer.concat([uint(codecId, 1), uint(count, 1), body, uint(count, 1)]);
}

/** Bit by bit, as the documents describe it. */
export function slowCrc16(data: Buffer): number {
  let crc = 0;
  for (const byte of data) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0xa001 : crc >>> 1;
  }
  return crc;
}

export function wrapTcp(data: Buffer): Buffer {
  return Buffer.concat([uint(0, 4), uint(data.length, 4), data, uint(slowCrc16(data), 4)]);
}

export function wrapUdp(data: Buffer, imei: string): Buffer {
  const packet = Buffer.concat([
    Buffer.from('cafe0105', 'hex'),
    uint(15, 2),
    Buffer.from(imei, 'latin1'),
    data,
  ]);
  return Buffer.concat([uint(packet.length, 2), packet]);
}

/** Makes the length and the CRC of a TCP frame right again after its inside was changed. */
export function repairTcp(frame: Buffer): Buffer {
  return frame.length < 13 ? frame : wrapTcp(frame.subarray(8, frame.length - 4));
}
