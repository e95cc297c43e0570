import type { ConnectionOptions } from 'node:tls';
import { createOwnerFinder } from './cluster-owner.ts';
import { OpenSockets } from './open-sockets.ts';
import { createSentinelFinder } from './sentinel-primary.ts';
import { type Place, type PrimaryFinder, placeText, type Topology } from './topology.ts';

export interface ServerOptions {
  readonly topology: Topology;
  /** Addresses that servers announce, and the one to use in place of each. */
  readonly natMap: readonly { readonly from: Place; readonly to: Place }[];
  /** Null: plain text. */
  readonly tls: ConnectionOptions | null;
  readonly connectTimeoutMs: number;
}

/** Creates the process's one finder, which all connections share: they share its view of the nodes. */
export function createPrimaryFinder(
  servers: ServerOptions,
  onChange: (from: Place, to: Place, key: string) => void = () => undefined,
): PrimaryFinder {
  const { topology, tls } = servers;
  const { find, agreed } = finderOf(servers);
  const last = new Map<string, Place>();
  const sockets = new OpenSockets();
  return {
    topology,
    tls,
    sockets,
    async leaveFormer() {
      const primary = await agreed();
      return primary === null ? 0 : sockets.endExcept(primary);
    },
    async find(key) {
      const place = await find(key);
      const before = last.get(key);
      last.set(key, place);
      if (before !== undefined && placeText(before) !== placeText(place)) {
        onChange(before, place, key);
      }
      return place;
    },
  };
}

interface Finder {
  readonly find: (key: string) => Promise<Place>;
  /** The primary that most sentinels name; null while most do not, and without sentinels. */
  readonly agreed: () => Promise<Place | null>;
}

function finderOf(servers: ServerOptions): Finder {
  const { topology } = servers;
  const asking = { ...servers, translate: translator(servers.natMap) };
  // Nodes of a cluster refuse commands for a slot as soon as another node owns it.
  const agreed = () => Promise.resolve(null);
  switch (topology.kind) {
    case 'single': {
      const error = new TypeError('the URL of a single server says where it is');
      return { find: () => Promise.reject(error), agreed };
    }
    case 'sentinel':
      return createSentinelFinder(topology, asking);
    case 'cluster':
      return { find: createOwnerFinder(topology, asking), agreed };
  }
}

/** Replaces an address that a server announces by the one to use. */
export function translator(natMap: ServerOptions['natMap']): (place: Place) => Place {
  const known = new Map(natMap.map(({ from, to }) => [placeText(from), to]));
  return (place) => known.get(placeText(place)) ?? place;
}

/** Finds nothing: for a Redis that its URL names. */
export function singleServer(url: string): PrimaryFinder {
  const topology = { kind: 'single', url } as const;
  return createPrimaryFinder({ topology, natMap: [], tls: null, connectTimeoutMs: 0 });
}
