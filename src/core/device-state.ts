import { DeviceTable } from './device-table.ts';
import type { DeviceId, DeviceState, Position } from './types.ts';

export interface DeviceStatesOptions {
  readonly capacity: number;
  /** How far back the lookup of a last position goes. */
  readonly rehydrateHorizonMs: number;
  /** TTL of the negative cache: devices of which nothing is stored. */
  readonly negativeTtlMs: number;
  readonly rehydrate: (
    devices: readonly DeviceId[],
    range: { readonly fromMs: number; readonly toMs: number },
  ) => Promise<ReadonlyMap<DeviceId, DeviceState>>;
  readonly now: () => number;
  readonly onLookup: (result: 'hit' | 'miss', devices: number) => void;
  readonly onRehydrated: (result: 'found' | 'absent' | 'failed', devices: number) => void;
  readonly onEvicted: () => void;
}

/** The lookup includes rows dated ahead of the clock (the validation window allows a day). */
const futureAllowanceMs = 2 * 86_400_000;

/** What the table holds of a known device. Without a fix, the time of the fix is before all times. */
const column = { lastTs: 0, fixTs: 1, latitude: 2, longitude: 3 } as const;
const noFix = Number.NEGATIVE_INFINITY;
/** What the table of devices without rows holds: until when not to look again. */
const absentUntil = 0;

/**
 * Caches the state of the most recently seen devices. The devices of a batch that are not cached are
 * looked up in one query; a lookup that is running is shared. Only stored rows change a state, and
 * only newer ones: four records in five arrive late.
 */
export class DeviceStates {
  readonly #options: DeviceStatesOptions;
  readonly #states: DeviceTable;
  readonly #absent: DeviceTable;
  readonly #lookups = new Map<DeviceId, Promise<void>>();

  constructor(options: DeviceStatesOptions) {
    this.#options = options;
    this.#states = new DeviceTable(options.capacity, 4, options.onEvicted);
    this.#absent = new DeviceTable(options.capacity, 1);
  }

  get size(): number {
    return this.#states.size;
  }

  get(device: DeviceId): DeviceState | undefined {
    const states = this.#states;
    const slot = states.find(device);
    if (slot < 0) return undefined;
    const ts = states.get(slot, column.fixTs);
    const latitude = states.get(slot, column.latitude);
    const longitude = states.get(slot, column.longitude);
    return {
      lastTs: states.get(slot, column.lastTs),
      lastFix: ts === noFix ? null : { ts, latitude, longitude },
    };
  }

  /**
   * Loads the states of a batch's devices from the database.
   * @throws DependencyError when the database fails; the devices are then looked up again later
   */
  async warm(rows: readonly Position[]): Promise<void> {
    const devices = new Set<DeviceId>();
    let last: DeviceId | null = null;
    for (const { deviceId } of rows) {
      // The records of a packet have one device.
      if (deviceId !== last) devices.add(deviceId);
      last = deviceId;
    }
    const cold: DeviceId[] = [];
    const underWay = new Set<Promise<void>>();
    let misses = 0;
    for (const device of devices) {
      if (this.#states.find(device) >= 0 || this.#isAbsent(device)) continue;
      misses += 1;
      const lookup = this.#lookups.get(device);
      if (lookup === undefined) cold.push(device);
      else underWay.add(lookup);
    }
    this.#options.onLookup('hit', devices.size - misses);
    this.#options.onLookup('miss', misses);
    if (cold.length > 0) underWay.add(this.#lookUp(cold));
    await Promise.all(underWay);
  }

  /** Updates the states from stored rows; returns how many rows were older than the known state. */
  apply(stored: readonly Position[]): number {
    const states = this.#states;
    let late = 0;
    for (const row of stored) {
      const slot = states.use(row.deviceId);
      if (slot < 0) {
        this.#addState(row.deviceId, row.ts, fixOf(row));
        // A row is stored now, so the device must be looked up again once it is evicted.
        this.#absent.remove(row.deviceId);
        continue;
      }
      if (row.ts < states.get(slot, column.lastTs)) late += 1;
      else states.set(slot, column.lastTs, row.ts);
      if (row.fix && row.ts > states.get(slot, column.fixTs)) this.#setFix(slot, fixOf(row));
    }
    return late;
  }

  /** Drops a device's state; its next record looks it up again. */
  forget(device: DeviceId): void {
    this.#states.remove(device);
    this.#absent.remove(device);
  }

  #addState(device: DeviceId, lastTs: number, fix: DeviceState['lastFix']): void {
    const slot = this.#states.add(device);
    this.#states.set(slot, column.lastTs, lastTs);
    this.#states.set(slot, column.fixTs, noFix);
    this.#setFix(slot, fix);
  }

  #setFix(slot: number, fix: DeviceState['lastFix']): void {
    if (fix === null) return;
    this.#states.set(slot, column.fixTs, fix.ts);
    this.#states.set(slot, column.latitude, fix.latitude);
    this.#states.set(slot, column.longitude, fix.longitude);
  }

  #isAbsent(device: DeviceId): boolean {
    const slot = this.#absent.find(device);
    return slot >= 0 && this.#options.now() < this.#absent.get(slot, absentUntil);
  }

  #noteAbsent(device: DeviceId): void {
    const { now, negativeTtlMs } = this.#options;
    const known = this.#absent.use(device);
    const slot = known >= 0 ? known : this.#absent.add(device);
    this.#absent.set(slot, absentUntil, now() + negativeTtlMs);
  }

  #lookUp(cold: readonly DeviceId[]): Promise<void> {
    const lookup = this.#rehydrate(cold).finally(() => {
      for (const device of cold) this.#lookups.delete(device);
    });
    for (const device of cold) this.#lookups.set(device, lookup);
    return lookup;
  }

  async #rehydrate(cold: readonly DeviceId[]): Promise<void> {
    const { now, rehydrate, rehydrateHorizonMs, onRehydrated } = this.#options;
    const nowMs = now();
    let found: ReadonlyMap<DeviceId, DeviceState>;
    try {
      found = await rehydrate(cold, {
        fromMs: nowMs - rehydrateHorizonMs,
        toMs: nowMs + futureAllowanceMs,
      });
    } catch (error) {
      onRehydrated('failed', cold.length);
      throw error;
    }
    for (const device of cold) {
      const state = found.get(device);
      if (state === undefined) this.#noteAbsent(device);
      // Another batch may have stored a newer row during the query.
      else if (this.#states.find(device) < 0) this.#addState(device, state.lastTs, state.lastFix);
    }
    onRehydrated('found', found.size);
    onRehydrated('absent', cold.length - found.size);
  }
}

function fixOf({ fix, ts, latitude, longitude }: Position): DeviceState['lastFix'] {
  return fix && latitude !== null && longitude !== null ? { ts, latitude, longitude } : null;
}
