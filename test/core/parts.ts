import type {
  DeviceId,
  Entry,
  EntryId,
  HeldEntry,
  PipelineEvents,
  Position,
} from '../../src/core/types.ts';
import { isDeviceId } from '../../src/teltonika/imei.ts';

export function deviceId(number: number): DeviceId {
  const text = String(350_000_000_000_000 + number);
  if (!isDeviceId(text)) throw new Error(`no device id: ${text}`);
  return text;
}

export function entryId(number: number): EntryId {
  // In the form Redis prints.
  return `${number}-0` as EntryId;
}

export function entry(number: number, bytes = 100): Entry {
  return { id: entryId(number), source: 'new', fields: [], bytes };
}

export function held(number: number, records = 1, bytes = 100): HeldEntry {
  const open = records;
  return { entry: entry(number, bytes), records, open, rejections: [], isMessage: false };
}

export function position(change: Partial<Position> = {}): Position {
  return {
    deviceId: deviceId(1),
    ts: 1000,
    latitude: 54.7,
    longitude: 25.3,
    altitude: 100,
    angle: 0,
    speed: 0,
    satellites: 5,
    priority: 0,
    fix: true,
    eventIoId: 0,
    generationType: null,
    codec: '8',
    attributes: '{}',
    recordIndex: 0,
    ...change,
  };
}

/** Events nobody listens to, but for those given. */
export function events(heard: Partial<PipelineEvents> = {}): PipelineEvents {
  return {
    read() {},
    interpreted() {},
    rejected() {},
    batch() {},
    late() {},
    acknowledged() {},
    failed() {},
    recovered() {},
    paused() {},
    ...heard,
  };
}

/** One turn of everything that is due. */
export function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
