import type { Logger } from '../core/types.ts';
import type { Metrics } from './metrics.ts';

/** Events of the HTTP endpoint as a metric and log lines. */
export function createHttpEvents(metrics: Metrics, log: Logger) {
  let evictions = 0;
  return {
    evicted(address: string): void {
      evictions += 1;
      metrics.httpEvictions.inc();
      // At powers of two: a client that never stops must not fill the disk.
      if ((evictions & (evictions - 1)) !== 0) return;
      log.warn({ address, evictions }, 'too many HTTP connections; closed one of this client');
    },
  };
}
