import type { Codec, DeviceId, Reason } from '../core/types.ts';
import { encodeTcp, encodeTcpData } from './avl-encoder.ts';
import type { ParcelRecord } from './faults.ts';
import { payloadFields, payloadOf } from './payload-form.ts';
import type { Random } from './random.ts';
import type { TrackerRecord } from './record.ts';

/** An entry that must end as one dead letter, for one of the reasons. */
export interface DamagedEntry {
  readonly fields: readonly (string | Buffer)[];
  readonly reasons: readonly Reason[];
}

/** Preamble and data field length. */
const headerSize = 8;
const crcBytes = 4;
/** No codec has this id. */
const unknownCodec = 0x63;

type FrameDamage = 'bit' | 'cut' | 'tail' | 'count' | 'codec' | 'hex';
const frameDamages: readonly FrameDamage[] = [
  'bit',
  'bit',
  'cut',
  'cut',
  'tail',
  'count',
  'codec',
  'hex',
];

/** A packet damaged on its way, or written by something that is no tracker. */
export function damagedFrame(
  deviceId: DeviceId,
  codec: Codec,
  records: readonly ParcelRecord[],
  random: Random,
): DamagedEntry {
  const frame = encodeTcp(codec, records);
  const dataEnd = frame.length - crcBytes;
  const entry = (damaged: Buffer, reason: Reason): DamagedEntry => ({
    fields: ['device_id', deviceId, 'frame', damaged],
    reasons: [reason],
  });
  switch (random.pick(frameDamages)) {
    case 'bit': {
      const at = random.int(headerSize, frame.length - 1);
      frame[at] = (frame[at] ?? 0) ^ (1 << random.int(0, 7));
      return entry(frame, 'crc_mismatch');
    }
    case 'cut':
      return entry(frame.subarray(0, random.int(1, frame.length - 1)), 'truncated');
    case 'tail':
      return entry(Buffer.concat([frame, Buffer.from([0xff])]), 'trailing_bytes');
    case 'count':
      return entry(resealed(frame, dataEnd - 1, (records.length + 1) & 0xff), 'count_mismatch');
    case 'codec':
      return entry(resealed(frame, headerSize, unknownCodec), 'codec_unknown');
    case 'hex':
      return {
        fields: ['device_id', deviceId, 'frame_hex', frame.toString('hex').slice(0, -1)],
        reasons: ['frame_hex_invalid'],
      };
  }
}

/** The frame with one byte of its data field replaced and the CRC made to fit. */
function resealed(frame: Buffer, at: number, byte: number): Buffer {
  frame[at] = byte;
  return encodeTcpData(frame.subarray(headerSize, frame.length - crcBytes));
}

type PayloadDamage = 'cut' | 'time' | 'device' | 'shape' | 'attribute';
const payloadDamages: readonly PayloadDamage[] = ['cut', 'time', 'device', 'shape', 'attribute'];

/** A record that the ingestion service wrote wrongly. */
export function damagedPayload(
  deviceId: DeviceId,
  codec: Codec,
  record: TrackerRecord,
  random: Random,
): DamagedEntry {
  const payload = payloadOf(deviceId, record);
  const entry = (text: string, reason: Reason, ts = record.ts): DamagedEntry => ({
    fields: payloadFields(deviceId, ts, codec, text),
    reasons: [reason],
  });
  switch (random.pick(payloadDamages)) {
    case 'cut': {
      const text = JSON.stringify(payload);
      return entry(text.slice(0, random.int(1, text.length - 1)), 'json_invalid');
    }
    case 'time':
      return entry(JSON.stringify(payload), 'ts_mismatch', record.ts + 1);
    case 'device': {
      const other = { ...payload, device_id: `9${deviceId.slice(1)}` };
      return entry(JSON.stringify(other), 'device_id_mismatch');
    }
    case 'shape': {
      const { speed: _speed, ...rest } = payload;
      return entry(JSON.stringify(rest), 'payload_shape');
    }
    case 'attribute': {
      const attributes = { ...payload.attributes, 78: { __bigint: 'not digits' } };
      return entry(JSON.stringify({ ...payload, attributes }), 'attribute_invalid');
    }
  }
}
