/** What the nodes of a Redis Cluster say of themselves and of each other. */
import { commandRedis, infoField } from './ask.ts';
import type { LocalServer } from './local-server.ts';

export interface NodeView {
  readonly id: string;
  readonly port: number;
  readonly busPort: number;
  readonly flags: readonly string[];
  /** Of the primary that it copies; null for a primary. */
  readonly primaryId: string | null;
  readonly epoch: number;
  /** First and last slot of each range. */
  readonly slots: readonly (readonly [number, number])[];
}

/** CLUSTER NODES, as this node sees them. */
export async function nodesSeenBy(server: LocalServer): Promise<readonly NodeView[]> {
  const text = String(await commandRedis(server.url, 'CLUSTER', 'NODES'));
  return text.trim().split('\n').map(parseNode);
}

/** `<id> <host:port@bus> <flags> <primary> <ping> <pong> <epoch> <link> <slot> …` */
function parseNode(line: string): NodeView {
  const [id = '', address = '', flags = '', primary = '-', , , epoch, , ...slots] = line.split(' ');
  return {
    id,
    port: Number(/:(\d+)@/.exec(address)?.[1]),
    busPort: Number(/@(\d+)/.exec(address)?.[1]),
    flags: flags.split(','),
    primaryId: primary === '-' ? null : primary,
    epoch: Number(epoch),
    // `[slot->-id]` is a slot that is being moved.
    slots: slots.filter((range) => !range.startsWith('[')).map(parseRange),
  };
}

function parseRange(range: string): readonly [number, number] {
  const [first, last = first] = range.split('-').map(Number);
  return [first ?? Number.NaN, last ?? Number.NaN];
}

export async function selfOf(server: LocalServer): Promise<NodeView> {
  const self = (await nodesSeenBy(server)).find(({ flags }) => flags.includes('myself'));
  if (self === undefined) throw new Error(`the node at port ${server.port} does not name itself`);
  return self;
}

export function ownsSlot({ slots }: NodeView, slot: number): boolean {
  return slots.some(([first, last]) => first <= slot && slot <= last);
}

/** Throws unless this node sees all slots served and, as a replica, copies from its primary. */
export async function expectWhole(server: LocalServer, known: number): Promise<void> {
  const info = await commandRedis(server.url, 'CLUSTER', 'INFO');
  const states = {
    cluster_state: 'ok',
    cluster_slots_ok: '16384',
    cluster_known_nodes: String(known),
  };
  for (const [field, wanted] of Object.entries(states)) expectField(server, info, field, wanted);
  const replication = await commandRedis(server.url, 'INFO', 'replication');
  if (infoField(replication, 'role') === 'slave') {
    expectField(server, replication, 'master_link_status', 'up');
  }
}

function expectField(server: LocalServer, info: unknown, field: string, wanted: string): void {
  const found = infoField(info, field);
  if (found !== wanted) throw new Error(`port ${server.port}: ${field} is ${found}, not ${wanted}`);
}
