import { DependencyError } from '../core/types.ts';
import { askServer } from './ask-server.ts';
import { slotOf } from './hash-slot.ts';
import type { FinderOptions } from './sentinel-primary.ts';
import { type ClusterTopology, type Place, placeText } from './topology.ts';

/** A range of slots and its nodes, the primary first. */
export interface SlotRange {
  readonly from: number;
  readonly to: number;
  readonly nodes: readonly [Place, ...Place[]];
}

/** Time after which the next node is asked as well. */
const hedgeMs = 200;
/** Upper limit of the time for one node to answer. */
const maxAskMs = 2000;
/** Nodes that one look-up asks at most. */
const maxAsked = 8;

/**
 * Finds the owner of a key's slot by CLUSTER SLOTS. All connections of the process share one view of
 * the nodes: those of REDIS_URL and those that the last answer named. Which node is asked first is
 * random, so that a node with an outdated view is not asked for ever; one that failed is asked last.
 */
export function createOwnerFinder(
  { nodes, login }: ClusterTopology,
  { tls, connectTimeoutMs, translate }: FinderOptions,
): (key: string) => Promise<Place> {
  const options = { login, tls, timeoutMs: Math.min(maxAskMs, connectTimeoutMs) };
  let known: readonly Place[] = nodes;
  const failing = new Set<string>();
  let asking: Promise<readonly SlotRange[]> | null = null;

  async function ask(place: Place): Promise<readonly SlotRange[]> {
    const reply = await askServer(place, ['CLUSTER', 'SLOTS'], options);
    return parseSlots(reply, place, translate);
  }

  async function look(): Promise<readonly SlotRange[]> {
    const places = inOrder(known, failing).slice(0, maxAsked);
    const { value, place, slow } = await firstAnswer(places, ask, (failed) =>
      failing.add(placeText(failed)),
    );
    for (const one of slow) failing.add(placeText(one));
    failing.delete(placeText(place));
    known = unique([...value.flatMap((range) => range.nodes), ...nodes]);
    return value;
  }

  return async (key) => {
    // Connections that are made at the same time share one look-up.
    asking ??= look().finally(() => {
      asking = null;
    });
    const slot = slotOf(key);
    const range = (await asking).find(({ from, to }) => from <= slot && slot <= to);
    if (range !== undefined) return range.nodes[0];
    const message = `redis: no node of the cluster serves slot ${slot} of ${key}`;
    throw new DependencyError('redis', 'unavailable', 'CLUSTERDOWN', message);
  };
}

function inOrder(places: readonly Place[], failing: ReadonlySet<string>): readonly Place[] {
  const rank = (place: Place) => (failing.has(placeText(place)) ? 1 : 0) + Math.random();
  const ranked = places.map((place) => ({ place, rank: rank(place) }));
  return ranked.sort((a, b) => a.rank - b.rank).map(({ place }) => place);
}

function unique(places: readonly Place[]): readonly Place[] {
  return [...new Map(places.map((place) => [placeText(place), place])).values()];
}

interface FirstAnswer<Value> {
  readonly value: Value;
  readonly place: Place;
  /** Nodes that were asked earlier and have not answered. */
  readonly slow: readonly Place[];
}

/** Asks one place after the other, the next one after a failure or `hedgeMs`; the first answer wins. */
function firstAnswer<Value>(
  places: readonly Place[],
  ask: (place: Place) => Promise<Value>,
  onFailure: (place: Place) => void,
): Promise<FirstAnswer<Value>> {
  return new Promise((resolve, reject) => {
    const waiting: Place[] = [];
    const failures: { place: Place; error: DependencyError }[] = [];
    let asked = 0;
    let timer: NodeJS.Timeout | undefined;

    function askNext(): void {
      clearTimeout(timer);
      const place = places[asked];
      if (place === undefined) return;
      asked += 1;
      waiting.push(place);
      timer = setTimeout(askNext, hedgeMs);
      ask(place).then(
        (value) => {
          clearTimeout(timer);
          const slow = waiting.slice(0, waiting.indexOf(place));
          resolve({ value, place, slow });
        },
        (error: unknown) => fail(place, error),
      );
    }

    function fail(place: Place, error: unknown): void {
      if (!(error instanceof DependencyError)) {
        reject(error);
        return;
      }
      onFailure(place);
      waiting.splice(waiting.indexOf(place), 1);
      failures.push({ place, error });
      if (failures.length === places.length) reject(noAnswer(failures));
      else askNext();
    }

    askNext();
  });
}

function noAnswer(
  failures: readonly { readonly place: Place; readonly error: DependencyError }[],
): DependencyError {
  const refusal = failures.find(({ error }) => error.kind === 'configuration')?.error;
  if (refusal !== undefined) return refused(refusal);
  const reasons = failures.map(({ place, error }) => `${placeText(place)}: ${error.code}`);
  const message = `redis: no node of the cluster answers (${reasons.join(', ')})`;
  const cause = failures[0]?.error;
  return new DependencyError('redis', 'unavailable', 'NO_NODE', message, { cause });
}

/** Advice for a node that answers and refuses; others have that of their error word. */
function refused(failure: DependencyError): DependencyError {
  const said = failure.cause instanceof Error ? failure.cause.message : '';
  if (!/cluster support disabled|unknown command/i.test(said)) return failure;
  const message =
    'redis: a server in REDIS_URL is no node of a Redis Cluster: use redis:// for a single Redis, or redis+sentinel:// with its sentinels';
  const options = { cause: failure.cause };
  return new DependencyError('redis', 'configuration', 'NOT_CLUSTER', message, options);
}

/** Reads CLUSTER SLOTS. An empty host stands for the node that was asked, `?` for an unknown one. */
export function parseSlots(
  reply: unknown,
  asked: Place,
  translate: (place: Place) => Place,
): readonly SlotRange[] {
  if (!Array.isArray(reply)) return [];
  return reply.flatMap((range: unknown) => {
    const [from, to, ...members] = Array.isArray(range) ? range : [];
    const [primary, ...replicas] = members.map((node: unknown) => {
      const [host, port] = Array.isArray(node) ? node : [];
      if (host === '?') return null;
      const own = host ? String(host) : asked.host;
      return translate({ host: own, port: Number(port) });
    });
    if (primary === undefined || primary === null) return [];
    const nodes = [primary, ...replicas.filter((place) => place !== null)] as const;
    return [{ from: Number(from), to: Number(to), nodes }];
  });
}
