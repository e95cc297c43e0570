import type { BackoffLimits } from '../../src/core/backoff.ts';
import type { BreakerOptions } from '../../src/core/breaker.ts';
import { DeviceStates } from '../../src/core/device-state.ts';
import { Guard } from '../../src/core/guard.ts';
import {
  type Dependency,
  type DeviceId,
  type Entry,
  type EntryId,
  type GuardEvents,
  type HeldEntry,
  type Position,
  packFields,
  type ReadingEvents,
  type WritingEvents,
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

export function entry(number: number, bytes = 100, deliveries = 1): Entry {
  const fields = packFields([]);
  return { id: entryId(number), source: 'new', deliveries, fields, bytes, history: null };
}

export function held(number: number, records = 1, bytes = 100): HeldEntry {
  const open = records;
  const origin = { shard: null, settled() {} };
  return {
    entry: entry(number, bytes),
    origin,
    records,
    open,
    rejections: [],
    isMessage: false,
    isReplaced: false,
  };
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

export interface PipelineEvents extends ReadingEvents, WritingEvents {}

/** Events nobody listens to, but for those given. */
export function events(heard: Partial<PipelineEvents> = {}): PipelineEvents {
  return {
    read() {},
    interpreted() {},
    rejected() {},
    isolated() {},
    batch() {},
    late() {},
    acknowledged() {},
    paused() {},
    ...heard,
  };
}

export interface GuardChange {
  readonly breaker?: Partial<BreakerOptions>;
  readonly events?: Partial<GuardEvents>;
  readonly retriesPerMinute?: number;
  readonly backoff?: BackoffLimits;
}

/** A guard with short pauses and a breaker that stays closed, but for the change. */
export function guard(dependency: Dependency, change: GuardChange = {}): Guard {
  const breaker = { errorRate: 0.99, samples: 1000, minSamples: 1000, coolDownMs: 5 };
  return new Guard(
    {
      dependency,
      backoff: change.backoff ?? { minMs: 1, maxMs: 2 },
      retriesPerMinute: change.retriesPerMinute ?? 6000,
      breaker: { ...breaker, ...change.breaker },
    },
    { failed() {}, recovered() {}, breaker() {}, ...change.events },
  );
}

/** One turn of everything that is due. */
export function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

/** States of devices of which nothing is stored. */
export function noStates(): DeviceStates {
  return new DeviceStates({
    capacity: 10,
    rehydrateHorizonMs: 1000,
    negativeTtlMs: 1000,
    rehydrate: () => Promise.resolve(new Map()),
    now: () => 0,
    onLookup() {},
    onRehydrated() {},
    onEvicted() {},
  });
}
