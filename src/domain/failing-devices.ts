import { type BackoffLimits, backoffMs } from '../core/backoff.ts';
import type { DeviceId } from '../core/types.ts';

interface Failing {
  readonly attempts: number;
  readonly retryAt: number;
  /** Batches of other devices that were committed when it failed last. */
  readonly commits: number;
}

/** Devices that are computed alone, because a batch with them failed. */
export interface FailingDevices {
  /** Those that other batches leave in the outbox. */
  list(): readonly DeviceId[];
  /** One whose time has come; null: none. */
  next(now: number): DeviceId | null;
  /** A batch of several failed: each is computed in a batch of its own. False: too many are failing already. */
  suspect(devices: readonly DeviceId[], now: number): boolean;
  /**
   * One failed alone. @param isOwnFault false: it counts only while others succeed
   * @returns how often it failed alone
   */
  failed(device: DeviceId, now: number, isOwnFault: boolean): number;
  succeeded(devices: readonly DeviceId[]): void;
  remove(device: DeviceId): void;
}

export interface FailingOptions {
  readonly backoff: BackoffLimits;
  readonly maxDevices: number;
}

export function createFailingDevices({ backoff, maxDevices }: FailingOptions): FailingDevices {
  const failing = new Map<DeviceId, Failing>();
  let commits = 0;
  return {
    list: () => [...failing.keys()],
    next(now) {
      for (const [device, { retryAt }] of failing) if (retryAt <= now) return device;
      return null;
    },
    suspect(devices, now) {
      const more = devices.filter((device) => !failing.has(device));
      if (failing.size + more.length > maxDevices) return false;
      for (const device of more) failing.set(device, { attempts: 0, retryAt: now, commits });
      return true;
    },
    failed(device, now, isOwnFault) {
      const before = failing.get(device);
      const counts = isOwnFault || before === undefined || before.commits < commits;
      const attempts = (before?.attempts ?? 0) + (counts ? 1 : 0);
      // Last again, so that the others have their turn first.
      failing.delete(device);
      failing.set(device, {
        attempts,
        retryAt: now + backoffMs(Math.max(1, attempts), backoff),
        commits,
      });
      return attempts;
    },
    succeeded(devices) {
      commits += 1;
      for (const device of devices) failing.delete(device);
    },
    remove: (device) => failing.delete(device),
  };
}
