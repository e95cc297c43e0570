/** A Redis Cluster as real processes on 127.0.0.1, made by commands, without redis-cli. */
import { commandRedis, untilAnswered } from './ask.ts';
import { moveSlots } from './cluster-move.ts';
import { expectWhole, nodesSeenBy, ownsSlot, selfOf } from './cluster-view.ts';
import { type Guard, openGuard } from './guarded.ts';
import type { LocalServer } from './local-server.ts';
import { freePort } from './ports.ts';
import { memberSettings, startRedisMember } from './redis-member.ts';
import { temporaryPrefix } from './system-user.ts';

export interface ClusterOptions {
  /** All of them, replicas included; default 6. */
  readonly nodes?: number;
  /** Of each primary; default 1. */
  readonly replicas?: number;
  /** After which a node that does not answer is failed over; default 1500. */
  readonly nodeTimeoutMs?: number;
  /** Of the user `default` on every node. */
  readonly password?: string;
  /** Further lines of the configuration of each node; the last one of a name counts. */
  readonly lines?: readonly string[];
}

export interface Cluster {
  /** `redis+cluster://…` with the nodes of the start. */
  readonly url: string;
  /** Also those added. `kill('SIGKILL')`, `kill('SIGSTOP')`, `restart()`. */
  readonly nodes: readonly LocalServer[];
  /** The primary that says so itself, with the newest epoch. @throws when none does */
  ownerOf(slot: number): Promise<LocalServer>;
  /** The same for several slots, in one round; null where no node that answers owns it. */
  ownersOf(slots: readonly number[]): Promise<readonly (LocalServer | null)[]>;
  replicasOf(primary: LocalServer): Promise<readonly LocalServer[]>;
  /** Waits until another node owns the slot. */
  untilPromoted(slot: number, former: LocalServer): Promise<LocalServer>;
  /** Waits until each node that answers sees all slots served; replicas copy from their primaries. */
  untilWhole(): Promise<void>;
  /** An empty primary that all others know. */
  addNode(): Promise<LocalServer>;
  /** Moves slots with their keys; `openMs` keeps each of them half moved for that long. */
  moveSlots(
    slots: readonly number[],
    to: LocalServer,
    options?: { readonly openMs?: number },
  ): Promise<void>;
  /** Safe twice. */
  stop(): Promise<void>;
}

const waitMs = 60_000;
const slotCount = 16_384;

/** @throws ServerError `no_program`, `start_failed`, `not_reachable` */
export async function startCluster(options: ClusterOptions = {}): Promise<Cluster> {
  const { nodes: count = 6, replicas = 1 } = options;
  const guard = await openGuard(temporaryPrefix('cluster'), null);
  try {
    const numbers = Array.from({ length: count }, (_, index) => index + 1);
    const nodes = await Promise.all(numbers.map((number) => startNode(guard, number, options)));
    await joinNodes(nodes, count / (1 + replicas));
    const cluster = clusterOf(guard, nodes, options);
    await cluster.untilWhole();
    return cluster;
  } catch (error) {
    await guard.close();
    throw error;
  }
}

async function startNode(guard: Guard, number: number, options: ClusterOptions) {
  const { nodeTimeoutMs = 1_500, password, lines = [] } = options;
  const settings = [
    ...memberSettings,
    'cluster-enabled yes',
    `cluster-port ${await freePort()}`,
    `cluster-node-timeout ${nodeTimeoutMs}`,
    // Or a failure of one primary stops all of them until its replica has been promoted.
    'cluster-require-full-coverage no',
    ...(password === undefined ? [] : [`masterauth ${password}`]),
    ...lines,
  ];
  const name = `node-${number}`;
  return await startRedisMember({ guard, name, kind: 'redis', password, lines: settings });
}

/** The first ones become primaries with an equal part of the slots, the others their replicas. */
async function joinNodes(nodes: readonly LocalServer[], primaryCount: number): Promise<void> {
  const primaries = nodes.slice(0, primaryCount);
  await Promise.all(
    nodes.map((node, index) => commandRedis(node.url, 'CLUSTER', 'SET-CONFIG-EPOCH', index + 1)),
  );
  await Promise.all(primaries.map((node, index) => takeSlots(node, index, primaries.length)));
  for (const node of nodes.slice(1)) await meet(node, nodes[0]);
  await Promise.all(nodes.map((node) => untilKnown(node, nodes.length)));
  await Promise.all(
    nodes.slice(primaryCount).map(async (node, index) => {
      const primary = primaries[index % primaryCount];
      if (primary !== undefined) await replicate(node, primary);
    }),
  );
}

async function takeSlots(node: LocalServer, index: number, count: number): Promise<void> {
  const first = Math.floor((index * slotCount) / count);
  const last = Math.floor(((index + 1) * slotCount) / count) - 1;
  await commandRedis(node.url, 'CLUSTER', 'ADDSLOTSRANGE', first, last);
}

async function meet(node: LocalServer, known: LocalServer | undefined): Promise<void> {
  if (known === undefined) throw new RangeError('a cluster has at least one node');
  const { port, busPort } = await selfOf(known);
  await commandRedis(node.url, 'CLUSTER', 'MEET', '127.0.0.1', port, busPort);
}

/** Of these, none is in a handshake any more. */
async function untilKnown(node: LocalServer, count: number): Promise<void> {
  await untilAnswered(
    'a node that knows the others',
    async () => {
      const seen = await nodesSeenBy(node);
      const known = seen.filter(({ flags }) => !flags.includes('handshake'));
      if (known.length < count) throw new Error(`it knows ${known.length} of ${count}`);
    },
    waitMs,
  );
}

async function replicate(node: LocalServer, primary: LocalServer): Promise<void> {
  const { id } = await selfOf(primary);
  await commandRedis(node.url, 'CLUSTER', 'REPLICATE', id);
}

function clusterOf(guard: Guard, start: readonly LocalServer[], options: ClusterOptions): Cluster {
  const nodes = [...start];
  const { password } = options;

  /** What each node that answers says of itself. */
  async function selves() {
    const asked = nodes.map(async (server) => ({ server, self: await selfOf(server) }));
    const answers = await Promise.allSettled(asked);
    return answers.flatMap((answer) => (answer.status === 'fulfilled' ? [answer.value] : []));
  }

  async function ownersOf(slots: readonly number[]) {
    const all = (await selves()).toSorted((a, b) => b.self.epoch - a.self.epoch);
    return slots.map((slot) => all.find(({ self }) => ownsSlot(self, slot))?.server ?? null);
  }

  async function ownerOf(slot: number): Promise<LocalServer> {
    const [owner] = await ownersOf([slot]);
    if (owner == null) throw new Error(`no node that answers owns slot ${slot}`);
    return owner;
  }

  const login = password === undefined ? '' : `:${encodeURIComponent(password)}@`;
  return {
    url: `redis+cluster://${login}${start.map(({ port }) => `127.0.0.1:${port}`).join()}`,
    nodes,
    ownerOf,
    ownersOf,
    async replicasOf(primary) {
      const { id } = await selfOf(primary);
      const found = (await selves()).filter(({ self }) => self.primaryId === id);
      return found.map(({ server }) => server);
    },
    untilPromoted: (slot, former) =>
      untilAnswered(
        'a promoted owner',
        async () => {
          const owner = await ownerOf(slot);
          if (owner === former) throw new Error('the former owner still owns the slot');
          return owner;
        },
        waitMs,
      ),
    untilWhole: () => untilAnswered('the whole cluster', () => expectAllWhole(nodes), waitMs),
    async addNode() {
      const [known] = await selves();
      const node = await startNode(guard, nodes.length + 1, options);
      await meet(node, known?.server);
      nodes.push(node);
      await untilAnswered('the whole cluster', () => expectAllWhole(nodes), waitMs);
      return node;
    },
    async moveSlots(slots, to, { openMs = 0 } = {}) {
      const target = { ...(await selfOf(to)), url: to.url };
      for (const { server, self } of await selves()) {
        const moved = slots.filter((slot) => ownsSlot(self, slot));
        const from = { ...self, url: server.url };
        if (server !== to) await moveSlots({ slots: moved, from, to: target, password, openMs });
      }
    },
    stop: () => guard.close(),
  };
}

/** A node that was killed does not answer and is left out; a cluster without any is not whole. */
async function expectAllWhole(nodes: readonly LocalServer[]): Promise<void> {
  const pinged = await Promise.allSettled(nodes.map(({ url }) => commandRedis(url, 'PING')));
  const living = nodes.filter((_, index) => pinged[index]?.status === 'fulfilled');
  if (living.length === 0) throw new Error('no node answers');
  await Promise.all(living.map((node) => expectWhole(node, nodes.length)));
}
