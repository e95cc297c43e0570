import { setTimeout } from 'node:timers/promises';
import pg from 'pg';
import { backoffMs } from '../core/backoff.ts';

const attempts = 10;
/** Pauses between attempts; ten of them take about seven seconds. */
const lockBackoff = { minMs: 100, maxMs: 1000 };

/** Retries a step whose lock was not acquired in time, so that it can run between two reads. */
export async function retryLock(step: () => Promise<number>): Promise<number> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await step();
    } catch (error) {
      const again = error instanceof pg.DatabaseError && error.code === '55P03';
      if (!again || attempt === attempts) throw error;
      await setTimeout(backoffMs(attempt, lockBackoff));
    }
  }
}
