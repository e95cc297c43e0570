import type { Codec, DeviceId } from '../core/types.ts';
import { encodeTcp, encodeUdp } from './avl-encoder.ts';
import { type DamagedEntry, damagedFrame, damagedPayload } from './damage.ts';
import type { LedgerRecord, SimulatedEntry } from './entry.ts';
import type { Form, ParcelRecord } from './faults.ts';
import { foreignEntry } from './foreign.ts';
import { encodeMessage } from './messages.ts';
import type { Parcel } from './outbox.ts';
import { payloadFields, payloadOf } from './payload-form.ts';
import type { Random } from './random.ts';
import { rowContent } from './record.ts';

/** How a device's packets reach the stream. */
export interface Channel {
  readonly deviceId: DeviceId;
  readonly codec: Codec;
  readonly transport: 'tcp' | 'udp';
  /** Epoch milliseconds for `received_at`; null leaves the field out. */
  readonly receivedAt: number | null;
  /** Share of frames written as hex. */
  readonly hexShare: number;
}

/** The stream entries that a parcel becomes: one for a packet, or one for each record. */
export function toEntries(
  parcel: Parcel,
  form: Form,
  channel: Channel,
  random: Random,
): SimulatedEntry[] {
  if (parcel.kind === 'message') return [messageEntry(channel, random)];
  if (parcel.kind === 'foreign') {
    return [lostEntry(foreignEntry(channel.deviceId, channel.codec, random))];
  }
  const { records } = parcel;
  if (parcel.kind === 'damaged') return damagedEntries(records, form, channel, random);
  return form === 'payload'
    ? records.map((record) => payloadEntry(record, channel))
    : [frameEntry(records, channel, random)];
}

function payloadEntry({ record, fault }: ParcelRecord, channel: Channel): SimulatedEntry {
  const { deviceId, codec } = channel;
  const payload = JSON.stringify(payloadOf(deviceId, record));
  return {
    fields: payloadFields(deviceId, record.ts, codec, payload),
    // There is only one record, so a fault in it is a fault of the entry.
    records: [ledgerRecord({ record, fault }, 0, fault === null ? 0 : null, channel)],
  };
}

function frameEntry(
  records: readonly ParcelRecord[],
  channel: Channel,
  random: Random,
): SimulatedEntry {
  const { deviceId, codec, transport, receivedAt, hexShare } = channel;
  const frame =
    transport === 'tcp'
      ? encodeTcp(codec, records)
      : encodeUdp(codec, deviceId, random.int(0, 65_535), records);
  const carried = random.chance(hexShare) ? ['frame_hex', frame.toString('hex')] : ['frame', frame];
  return {
    fields: [
      'device_id',
      deviceId,
      ...carried,
      ...(receivedAt === null ? [] : ['received_at', new Date(receivedAt).toISOString()]),
    ],
    records: records.map((record, index) => ledgerRecord(record, index, index, channel)),
  };
}

function ledgerRecord(
  { record, fault }: ParcelRecord,
  recordIndex: number,
  faultPlace: number | null,
  { deviceId, codec }: Channel,
): LedgerRecord {
  if (fault !== null) {
    return { kind: 'dead_letter', recordIndex: faultPlace, reasons: [fault.reason] };
  }
  const content = rowContent(record);
  return { kind: 'position', deviceId, ts: record.ts, codec, recordIndex, content };
}

function damagedEntries(
  records: readonly ParcelRecord[],
  form: Form,
  { deviceId, codec }: Channel,
  random: Random,
): SimulatedEntry[] {
  const [first] = records;
  if (first === undefined) return [];
  const damaged =
    form === 'payload'
      ? damagedPayload(deviceId, codec, first.record, random)
      : damagedFrame(deviceId, codec, records, random);
  return [lostEntry(damaged)];
}

/** An entry that ends as one dead letter for the whole of it. */
function lostEntry({ fields, reasons }: DamagedEntry): SimulatedEntry {
  return { fields, records: [{ kind: 'dead_letter', recordIndex: null, reasons }] };
}

function messageEntry({ deviceId, receivedAt }: Channel, random: Random): SimulatedEntry {
  const frame = encodeMessage(deviceId, receivedAt ?? 0, random);
  return { fields: ['device_id', deviceId, 'frame', frame], records: [{ kind: 'message' }] };
}
