/** Moves slots of a Redis Cluster with their keys, as `redis-cli --cluster reshard` does. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Redis } from 'ioredis';
import { withRedis } from './ask.ts';

export interface Move {
  readonly slots: readonly number[];
  readonly from: MovePlace;
  readonly to: MovePlace;
  readonly password: string | undefined;
  /** How long each slot that holds keys stays half moved: one key is at the new node, others not. */
  readonly openMs: number;
}

export interface MovePlace {
  readonly id: string;
  readonly url: string;
  readonly port: number;
}

const migrateTimeoutMs = 20_000;

export async function moveSlots(move: Move): Promise<void> {
  const moveAll = async (source: Redis, target: Redis) => {
    for (const slot of move.slots) await moveSlot(move, slot, source, target);
  };
  await withRedis(
    move.from.url,
    (source) => withRedis(move.to.url, (target) => moveAll(source, target), migrateTimeoutMs),
    // MIGRATE answers when the other node has the keys.
    migrateTimeoutMs,
  );
}

async function moveSlot(move: Move, slot: number, source: Redis, target: Redis): Promise<void> {
  const { from, to, openMs } = move;
  await target.call('CLUSTER', 'SETSLOT', slot, 'IMPORTING', from.id);
  await source.call('CLUSTER', 'SETSLOT', slot, 'MIGRATING', to.id);
  if ((await moveKeys(move, slot, source, 1)) > 0) {
    await sleep(openMs);
    while ((await moveKeys(move, slot, source, 100)) > 0);
  }
  // In this order, or for a moment no node would own the slot.
  await target.call('CLUSTER', 'SETSLOT', slot, 'NODE', to.id);
  await source.call('CLUSTER', 'SETSLOT', slot, 'NODE', to.id);
}

/** @returns how many keys it moved */
async function moveKeys(move: Move, slot: number, source: Redis, most: number): Promise<number> {
  const keys: unknown = await source.call('CLUSTER', 'GETKEYSINSLOT', slot, most);
  if (!Array.isArray(keys) || keys.length === 0) return 0;
  const login = move.password === undefined ? [] : ['AUTH', move.password];
  const place = ['127.0.0.1', move.to.port, '', 0, migrateTimeoutMs];
  await source.call('MIGRATE', ...place, ...login, 'KEYS', ...keys.map(String));
  return keys.length;
}
