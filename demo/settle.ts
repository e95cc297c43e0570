import { setTimeout as sleep } from 'node:timers/promises';
import type { Redis } from 'ioredis';
import { groupBacklogs } from '../src/simulator/stream-backlog.ts';

export interface SettleOptions {
  readonly redis: Redis;
  readonly stream: string;
  readonly group: string;
  readonly service: { hasEnded(): boolean };
  readonly signal: AbortSignal;
}

const PAUSE_MS = 50;
/** So long may nothing at all become less. */
const STUCK_MS = 30_000;

/**
 * Waits until the group has read and acknowledged everything in the stream.
 * @throws when the backlog stays the same for 30 s, the service ends, or the signal aborts
 */
export async function untilSettled(options: SettleOptions): Promise<void> {
  const { redis, stream, group, service, signal } = options;
  let least = Number.POSITIVE_INFINITY;
  let since = performance.now();
  for (;;) {
    signal.throwIfAborted();
    if (service.hasEnded()) throw new Error('the service ended before everything was settled');
    const found = (await groupBacklogs(redis, stream)).find((known) => known.group === group);
    const rest = (found?.lag ?? Number.POSITIVE_INFINITY) + (found?.pending ?? 0);
    if (rest === 0) return;
    if (rest < least) {
      least = rest;
      since = performance.now();
    }
    if (performance.now() - since > STUCK_MS) {
      const what = `lag ${found?.lag ?? 'unknown'}, pending ${found?.pending ?? 'unknown'}`;
      throw new Error(`nothing was settled for ${STUCK_MS / 1000} s (${what})`);
    }
    await sleep(PAUSE_MS);
  }
}
