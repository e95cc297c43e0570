import type { ConnectionOptions } from 'node:tls';
import { Redis, type RedisOptions } from 'ioredis';
import { connectorTo } from './connector.ts';
import type { OpenSockets } from './open-sockets.ts';
import type { Place } from './place.ts';
import { markOrdinary } from './redis-error.ts';

export { type Place, placeText } from './place.ts';

export interface Login {
  readonly username: string | null;
  readonly password: string | null;
}

export interface SentinelTopology {
  readonly kind: 'sentinel';
  readonly sentinels: readonly Place[];
  /** Name under which the sentinels know the primary. */
  readonly name: string;
  readonly database: number;
  readonly login: Login;
  readonly sentinelLogin: Login;
}

export interface ClusterTopology {
  readonly kind: 'cluster';
  readonly nodes: readonly Place[];
  readonly login: Login;
}

/** How the Redis that holds the stream is found. A URL's path is its database number. */
export type Topology =
  | { readonly kind: 'single'; readonly url: string }
  | SentinelTopology
  | ClusterTopology;

export type TopologyKind = Topology['kind'];

/** Finds the server that may be written to, at each connection again. */
export interface PrimaryFinder {
  readonly topology: Topology;
  /** Null: plain text. */
  readonly tls: ConnectionOptions | null;
  /**
   * Asks the sentinels, or the nodes of the cluster for the owner of the key's slot, once and within
   * a bounded time. @throws DependencyError
   */
  find(key: string): Promise<Place>;
  /** Sockets to servers that were found; none for a single server. */
  readonly sockets: OpenSockets;
  /**
   * Ends the connections to a server that most sentinels no longer name as the primary. After an ordered
   * failover the former one takes writes for some 8 s more, and they are lost (Redis 7.0.15).
   * @returns how many were ended; 0 without sentinels, and while no majority of them answers
   */
  leaveFormer(): Promise<number>;
}

/** Options of a connection besides where it goes. */
export type ClientOptions = Omit<RedisOptions, 'replyMapping' | 'protocol'> & {
  readonly protocol: 2;
};

export function loginOptions({
  username,
  password,
}: Login): Pick<RedisOptions, 'username' | 'password'> {
  return { ...(username !== null && { username }), ...(password !== null && { password }) };
}

const kinds = new WeakMap<Redis, TopologyKind>();

/** The topology for which `openClient` opened the connection; single for any other. */
export function topologyOf(redis: Redis): TopologyKind {
  return kinds.get(redis) ?? 'single';
}

/**
 * Opens a connection to the primary that holds the key. Behind sentinels and in a cluster it asks for
 * the primary at every connect; if nothing answers, `connect` rejects and the connection has ended.
 * @param onNotFound called when the primary was not found
 */
export function openClient(
  { topology, tls, find, sockets }: PrimaryFinder,
  key: string,
  options: ClientOptions,
  onNotFound: () => void = () => undefined,
): Redis {
  const { reconnectOnError } = options;
  const secured = {
    ...options,
    ...(tls && { tls }),
    reconnectOnError(error: Error) {
      if (topology.kind === 'cluster') markOrdinary(error);
      return reconnectOnError?.(error) ?? false;
    },
  };
  const client =
    topology.kind === 'single'
      ? new Redis(topology.url, secured)
      : new Redis({
          ...secured,
          ...loginOptions(topology.login),
          ...(topology.kind === 'sentinel' && { db: topology.database }),
          Connector: connectorTo(() => find(key), {
            tls,
            onSocket: (socket, place) => sockets.add(socket, place),
            onNotFound,
          }),
        });
  kinds.set(client, topology.kind);
  return client;
}
