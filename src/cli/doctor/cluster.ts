import { parseSlots, type SlotRange } from '../../stream/cluster-owner.ts';
import { slotCount, slotOf } from '../../stream/hash-slot.ts';
import { type ClusterTopology, type Place, placeText } from '../../stream/topology.ts';
import type { Asking } from './asking.ts';
import { type Check, failure, ok, unknown, warning } from './check.ts';
import { clocksCheck, replicasCheck, skewOf } from './nodes.ts';
import { attempt, codeOf, type Result, succeeded } from './results.ts';

/** A shard, or the only stream. */
export interface Stream {
  /** Null without STREAM_SHARDS. */
  readonly shard: number | null;
  readonly key: string;
}

/** Checks the nodes of REDIS_URL, the slots, and which node owns which stream. */
export async function checkCluster(
  { nodes }: ClusterTopology,
  streams: readonly Stream[],
  asking: Asking,
): Promise<readonly Check[]> {
  const answers = await Promise.all(
    nodes.map((place) =>
      attempt(place, async () => {
        const reply = await asking.ask(place, ['CLUSTER', 'SLOTS']);
        return parseSlots(reply, place, asking.translate);
      }),
    ),
  );
  const checks = [nodesCheck(answers)];
  const [first] = answers.filter(succeeded);
  if (first === undefined) return checks;
  const ranges = first.value;
  const owners = unique(ranges.map((range) => range.nodes[0]));
  const infos = await Promise.all(
    owners.map((place) => attempt(place, async () => String(await asking.ask(place, infoWords)))),
  );
  const all = unique(ranges.flatMap((range) => range.nodes));
  const skews = await Promise.all(
    all.map((place) => attempt(place, async () => skewOf(await asking.ask(place, ['TIME'])))),
  );
  return [
    ...checks,
    slotsCheck(ranges),
    ownersCheck(ranges, streams),
    ownersReplicas(infos),
    clocksCheck(skews),
  ];
}

const infoWords = ['INFO', 'replication'] as const;
/** One node that fails would leave no other to ask at the start. */
const minNodes = 2;

function nodesCheck(answers: readonly Result<unknown>[]): Check {
  const name = 'cluster nodes';
  const silent = answers.filter((one) => !succeeded(one));
  const reached = answers.length - silent.length;
  const text = `${reached} of ${answers.length} in REDIS_URL answer`;
  const away = silent.map((one) => `${placeText(one.place)} (${codeOf(one)})`).join(', ');
  const missing = away === '' ? text : `${text}, not ${away}`;
  if (reached < minNodes) {
    return failure(name, `${missing}: name at least ${minNodes} that answer`);
  }
  return away === '' ? ok(name, text) : warning(name, missing);
}

function slotsCheck(ranges: readonly SlotRange[]): Check {
  const name = 'cluster slots';
  const served = ranges.reduce((sum, { from, to }) => sum + to - from + 1, 0);
  return served === slotCount
    ? ok(name, `all ${slotCount} are served`)
    : failure(
        name,
        `${slotCount - served} of ${slotCount} are served by no node: see CLUSTER NODES`,
      );
}

/** Which node owns the slot of which stream. */
function ownersCheck(ranges: readonly SlotRange[], streams: readonly Stream[]): Check {
  const name = 'owners of the streams';
  const owned = new Map<string, string[]>();
  const homeless: string[] = [];
  for (const { shard, key } of streams) {
    const text = shard === null ? key : String(shard);
    const slot = slotOf(key);
    const owner = ranges.find(({ from, to }) => from <= slot && slot <= to)?.nodes[0];
    if (owner === undefined) homeless.push(text);
    else owned.set(placeText(owner), [...(owned.get(placeText(owner)) ?? []), text]);
  }
  const one = streams[0]?.shard === null ? 'stream' : 'shard';
  const named = (list: readonly string[]) =>
    `${one}${list.length > 1 ? 's' : ''} ${list.join(', ')}`;
  if (homeless.length > 0) return failure(name, `no node serves ${named(homeless)}`);
  const text = [...owned].map(([owner, list]) => `${owner} has ${named(list)}`);
  return ok(name, text.join('; '));
}

function ownersReplicas(infos: readonly Result<string>[]): Check {
  const silent = infos.filter((one) => !succeeded(one));
  if (silent.length === 0) {
    return replicasCheck(
      infos.filter(succeeded).map(({ place, value: info }) => ({ place, info })),
    );
  }
  const text = silent.map((one) => `${placeText(one.place)} (${codeOf(one)})`);
  return unknown('redis replicas', `no reply to INFO of ${text.join(', ')}`);
}

function unique(places: readonly Place[]): readonly Place[] {
  return [...new Map(places.map((place) => [placeText(place), place])).values()];
}
