/** Several Redis servers as one place for streams: which one holds a key now. */
import { commandRedis } from '../../tools/servers/ask.ts';
import type { Cluster } from '../../tools/servers/cluster.ts';
import type { LocalServer } from '../../tools/servers/local-server.ts';
import type { SentinelSet } from '../../tools/servers/sentinel.ts';

/** A Sentinel set or a cluster, as a case sees it: by the servers themselves, not by our code. */
export interface ServerSet {
  /** What the instances get as REDIS_URL. */
  readonly url: string;
  /** The servers that take writes to the keys now, in their order; null where there is none. */
  find(keys: readonly string[]): Promise<readonly (LocalServer | null)[]>;
}

export function serversOfSentinels(set: SentinelSet): ServerSet {
  return {
    url: set.url,
    async find(keys) {
      const primary = await set.primary();
      return keys.map(() => primary);
    },
  };
}

export function serversOfCluster(cluster: Cluster): ServerSet {
  return {
    url: cluster.url,
    async find(keys) {
      const all = await Promise.all(keys.map((key) => slotOf(cluster, key)));
      return await cluster.ownersOf(all);
    },
  };
}

/** Asked once for each key: any node that answers knows it. */
const slots = new Map<string, number>();

export async function slotOf({ nodes }: Cluster, key: string): Promise<number> {
  const known = slots.get(key);
  if (known !== undefined) return known;
  const ask = ({ url }: LocalServer) => commandRedis(url, 'CLUSTER', 'KEYSLOT', key);
  const slot = Number(await Promise.any(nodes.map(ask)));
  slots.set(key, slot);
  return slot;
}

export interface Places {
  /** The server of the key as last found; null where there was none. */
  last(key: string): LocalServer | null;
  /** Searches again; searches do not overlap. Afterwards `last` is as the servers say. */
  refresh(): Promise<void>;
  /** One command about a key, at the server that holds it. @throws while there is none */
  command(key: string, name: string, ...args: readonly (string | number)[]): Promise<unknown>;
  close(): void;
}

const everyMs = 200;

/** Searches when asked, and by itself, so that a sender does not try a dead server again and again. */
export function createPlaces(servers: ServerSet, keys: readonly string[]): Places {
  let found: readonly (LocalServer | null)[] = [];
  let searching: Promise<void> | null = null;

  async function search(): Promise<void> {
    // A set that answers nothing at the moment: the last known servers stay.
    found = await servers.find(keys).catch(() => found);
  }

  function refresh(): Promise<void> {
    searching ??= search().finally(() => {
      searching = null;
    });
    return searching;
  }

  const timer = setInterval(() => void refresh(), everyMs);
  const last = (key: string) => found[keys.indexOf(key)] ?? null;
  return {
    last,
    refresh,
    async command(key, name, ...args) {
      const server = last(key);
      if (server === null) throw new Error(`no server holds ${key}`);
      return await commandRedis(server.url, name, ...args);
    },
    close: () => clearInterval(timer),
  };
}
