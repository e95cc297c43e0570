import type { Config } from '../../config/load.ts';
import { type AskOptions, askServer } from '../../stream/ask-server.ts';
import { translator } from '../../stream/primary-finder.ts';
import type { Asking } from './asking.ts';
import type { Check } from './check.ts';
import { checkCluster, type Stream } from './cluster.ts';
import { checkSentinels } from './sentinels.ts';

/**
 * Checks what REDIS_URL names beside the server of the stream: sentinels, replicas, nodes.
 * @param streams those whose owner in a cluster is named
 */
export async function checkTopology(
  { topology, tls, natMap, connectTimeoutMs: timeoutMs }: Config['redis'],
  streams: readonly Stream[],
): Promise<readonly Check[]> {
  if (topology.kind === 'single') return [];
  const options = (login: AskOptions['login']) => ({ login, tls, timeoutMs });
  const asking: Asking = {
    ask: (place, words) => askServer(place, words, options(topology.login)),
    askSentinel: (place, words) => {
      const { login } = topology;
      const own = topology.kind === 'sentinel' ? topology.sentinelLogin : login;
      return askServer(place, words, options(own));
    },
    translate: translator(natMap),
  };
  return topology.kind === 'sentinel'
    ? await checkSentinels(topology, asking)
    : await checkCluster(topology, streams, asking);
}
