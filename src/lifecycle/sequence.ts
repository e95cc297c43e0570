import type { Logger, Service } from '../core/types.ts';

/** A part that opens on first use and only needs a stop. @param release must be safe twice */
export function releasable(name: string, release: () => Promise<void> | void): Service {
  return {
    name,
    start: () => Promise.resolve(),
    async stop() {
      await release();
    },
  };
}

/**
 * Stops all services, the last one first. A service that cannot be stopped is logged and does not
 * keep the others running.
 */
export async function stopInReverse(services: readonly Service[], log: Logger): Promise<void> {
  for (const service of services.toReversed()) {
    try {
      await service.stop();
    } catch (error) {
      log.warn({ part: service.name, err: error }, 'part could not be stopped');
    }
  }
}
