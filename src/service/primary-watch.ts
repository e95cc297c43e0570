import type { Logger, Service } from '../core/types.ts';
import { repeat } from '../lifecycle/repeat.ts';
import type { PrimaryFinder } from '../stream/topology.ts';

/** Together with a failover and a new connection below 5 s. */
const everyMs = 1000;

/** Leaves a former primary when the sentinels name another one; does nothing without sentinels. */
export function createPrimaryWatch({ topology, leaveFormer }: PrimaryFinder, log: Logger): Service {
  let end: (() => Promise<void>) | null = null;

  async function look(): Promise<void> {
    const connections = await leaveFormer();
    if (connections > 0) log.info({ connections }, 'connections to a former primary ended');
  }

  return {
    name: 'primary watch',
    start() {
      if (topology.kind === 'sentinel') end ??= repeat(look, everyMs);
      return Promise.resolve();
    },
    async stop() {
      await end?.();
      end = null;
    },
  };
}
