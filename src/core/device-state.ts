import { LRUCache } from 'lru-cache';
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

/**
 * Caches the state of the most recently seen devices. The devices of a batch that are not cached are
 * looked up in one query; a lookup that is running is shared. Only stored rows change a state, and
 * only newer ones: four records in five arrive late.
 */
export class DeviceStates {
  readonly #options: DeviceStatesOptions;
  readonly #states: LRUCache<DeviceId, DeviceState>;
  readonly #absent: LRUCache<DeviceId, true>;
  readonly #lookups = new Map<DeviceId, Promise<void>>();

  constructor(options: DeviceStatesOptions) {
    this.#options = options;
    this.#states = new LRUCache({
      max: options.capacity,
      dispose: (_state, _device, reason) => {
        if (reason === 'evict') options.onEvicted();
      },
    });
    this.#absent = new LRUCache({
      max: options.capacity,
      ttl: options.negativeTtlMs,
      // The default caches the time for a millisecond of the real clock and ignores `now`.
      ttlResolution: 0,
      perf: { now: options.now },
    });
  }

  get size(): number {
    return this.#states.size;
  }

  get(device: DeviceId): DeviceState | undefined {
    return this.#states.peek(device);
  }

  /**
   * Loads the states of a batch's devices from the database.
   * @throws DependencyError when the database fails; the devices are then looked up again later
   */
  async warm(rows: readonly Position[]): Promise<void> {
    const devices = new Set<DeviceId>();
    for (const row of rows) devices.add(row.deviceId);
    const cold: DeviceId[] = [];
    const underWay = new Set<Promise<void>>();
    for (const device of devices) {
      if (this.#states.has(device) || this.#absent.has(device)) continue;
      const lookup = this.#lookups.get(device);
      if (lookup === undefined) cold.push(device);
      else underWay.add(lookup);
    }
    const misses = cold.length + underWay.size;
    this.#options.onLookup('hit', devices.size - misses);
    this.#options.onLookup('miss', misses);
    if (cold.length > 0) underWay.add(this.#lookUp(cold));
    await Promise.all(underWay);
  }

  /** Updates the states from stored rows; returns how many rows were older than the known state. */
  apply(stored: readonly Position[]): number {
    let late = 0;
    for (const row of stored) {
      const known = this.#states.get(row.deviceId);
      if (known !== undefined && row.ts < known.lastTs) late += 1;
      const next = advance(known, row);
      if (next !== known) this.#states.set(row.deviceId, next);
      // A row is stored now, so the device must be looked up again once it is evicted.
      if (known === undefined) this.#absent.delete(row.deviceId);
    }
    return late;
  }

  /** Drops a device's state; its next record looks it up again. */
  forget(device: DeviceId): void {
    this.#states.delete(device);
    this.#absent.delete(device);
  }

  #lookUp(cold: readonly DeviceId[]): Promise<void> {
    const lookup = this.#rehydrate(cold).finally(() => {
      for (const device of cold) this.#lookups.delete(device);
    });
    for (const device of cold) this.#lookups.set(device, lookup);
    return lookup;
  }

  async #rehydrate(cold: readonly DeviceId[]): Promise<void> {
    const { now, rehydrate, rehydrateHorizonMs, negativeTtlMs, onRehydrated } = this.#options;
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
      if (state === undefined) {
        // For the cache, a TTL of 0 means without end.
        if (negativeTtlMs > 0) this.#absent.set(device, true);
      }
      // Another batch may have stored a newer row during the query.
      else if (!this.#states.has(device)) this.#states.set(device, state);
    }
    onRehydrated('found', found.size);
    onRehydrated('absent', cold.length - found.size);
  }
}

/** Returns the state after a row; the same object when nothing changed. */
export function advance(known: DeviceState | undefined, row: Position): DeviceState {
  const lastTs = known === undefined ? row.ts : Math.max(known.lastTs, row.ts);
  const lastFix = newestFix(known?.lastFix ?? null, row);
  if (known !== undefined && known.lastTs === lastTs && known.lastFix === lastFix) return known;
  return { lastTs, lastFix };
}

function newestFix(known: DeviceState['lastFix'], row: Position): DeviceState['lastFix'] {
  const { fix, ts, latitude, longitude } = row;
  if (!fix || latitude === null || longitude === null) return known;
  if (known !== null && known.ts >= ts) return known;
  return { ts, latitude, longitude };
}
