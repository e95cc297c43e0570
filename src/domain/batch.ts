import type { DeviceId } from '../core/types.ts';
import type { BatchContext } from './batch-context.ts';
import { computeLayer, type Layer } from './layer.ts';
import type { DomainTransaction, QueuedRange, Range } from './ports.ts';
import { layersOf, mergeRanges } from './ranges.ts';

/** What became of the ranges of a batch; its changes are written and not yet committed. */
export interface BatchResult extends Layer {
  readonly devices: readonly DeviceId[];
  /** Devices without an assignment; their ranges are gone. */
  readonly unknown: readonly DeviceId[];
  readonly parkedRanges: number;
  readonly putBack: readonly Range[];
}

/**
 * Computes the taken ranges and writes the difference to the live crossings, inside the transaction
 * that took them. What a bound leaves over goes back to the outbox in the same transaction.
 */
export async function computeBatch(
  taken: readonly QueuedRange[],
  surroundings: Omit<BatchContext, 'assignments'>,
): Promise<BatchResult> {
  const { tx, contract, options } = surroundings;
  const byDevice = mergeRanges(taken);
  const assignments = new Map(
    [...byDevice.keys()].map((device) => [device, contract.assignmentsOf(device)]),
  );
  const unknown = [...assignments].flatMap(([device, own]) => (own.length === 0 ? [device] : []));
  for (const device of unknown) byDevice.delete(device);
  const parkedRanges = await leaveParked(tx, byDevice);
  const layers = layersOf(byDevice);
  const beyond = layers.splice(options.limits.layers).flat();
  let sum: Layer = emptyLayer;
  for (const ranges of layers) {
    sum = addLayers(sum, await computeLayer(ranges, { ...surroundings, assignments }));
  }
  const putBack = [...beyond, ...sum.rest];
  await tx.putBack(putBack);
  return { ...sum, devices: [...byDevice.keys()], unknown, parkedRanges, putBack };
}

/** Ranges of parked devices wait for the operator with the others. @returns how many */
async function leaveParked(
  tx: DomainTransaction,
  byDevice: Map<DeviceId, readonly Range[]>,
): Promise<number> {
  const parked = await tx.parked([...byDevice.keys()]);
  const ranges = [...parked].flatMap((device) => byDevice.get(device) ?? []);
  for (const device of parked) byDevice.delete(device);
  await tx.addToParked(ranges);
  return ranges.length;
}

const emptyLayer: Layer = {
  windows: 0,
  fixes: 0,
  clamped: 0,
  inserted: 0,
  revived: 0,
  superseded: 0,
  unchanged: 0,
  contradicted: [],
  rest: [],
};

function addLayers(one: Layer, other: Layer): Layer {
  return {
    windows: one.windows + other.windows,
    fixes: one.fixes + other.fixes,
    clamped: one.clamped + other.clamped,
    inserted: one.inserted + other.inserted,
    revived: one.revived + other.revived,
    superseded: one.superseded + other.superseded,
    unchanged: one.unchanged + other.unchanged,
    contradicted: [...one.contradicted, ...other.contradicted],
    rest: [...one.rest, ...other.rest],
  };
}
