import type { Config } from '../config/load.ts';
import { numbersText } from './format.ts';
import { type CliExit, type CliIo, type OutputFlags, print } from './io.ts';
import {
  type Answered,
  type Answers,
  exitOf,
  type Missing,
  type StreamStore,
  without,
} from './shards.ts';
import { table } from './table.ts';

type Sharding = Pick<Config, 'shards'>;

/** Reports the missing shards of a read-only command on stderr: one line for the same problem. */
export function reportMissing(io: CliIo, missing: readonly Missing[]): void {
  writeGroups(io, missing, ({ problem }) => `did not answer: ${problem}`);
}

/** Prints what the shards that answered hold, and on stderr which did not. @returns the exit code */
export function printFound(
  io: CliIo,
  flags: OutputFlags,
  sharding: Sharding,
  found: { readonly result: object; readonly text: string; readonly missing: readonly Missing[] },
): CliExit {
  const { result, text, missing } = found;
  print(io, flags, { ...result, ...missingJson(sharding, missing) }, text);
  reportMissing(io, missing);
  return exitOf(missing);
}

/** Reports the missing shards of a change, and whether anything can have changed there. */
export function reportUnchanged(io: CliIo, missing: readonly Missing[]): void {
  writeGroups(io, missing, ({ problem, hasBegun }) =>
    hasBegun
      ? `failed, and the change may be done there in part: ${problem}; run the command again`
      : `did not answer, and nothing was changed there: ${problem}`,
  );
}

function writeGroups(
  io: CliIo,
  missing: readonly Missing[],
  textOf: (one: Missing) => string,
): void {
  const groups = new Map<string, number[]>();
  for (const one of missing) {
    const text = textOf(one);
    groups.set(text, [...(groups.get(text) ?? []), one.shard]);
  }
  for (const [text, shards] of groups) {
    io.stderr.write(`processor: ${shardsText(shards)} ${text}\n`);
  }
}

/**
 * The missing shards for a JSON result; nothing without shards. Where `begun` is false, the server was
 * not reached, so that a change has changed nothing there.
 */
export function missingJson({ shards }: Sharding, missing: readonly Missing[]): object {
  if (shards === null) return {};
  const list = missing.map(({ shard, problem, hasBegun }) => {
    return { shard, problem, begun: hasBegun };
  });
  return { missing_shards: list };
}

/** The shards' own results and the missing shards for a JSON result; nothing without shards. */
export function shardsJson<Value>(
  sharding: Sharding,
  { answered, missing }: Answers<Value>,
  jsonOf: (value: Value, store: StreamStore) => object,
): object {
  if (sharding.shards === null) return {};
  const shards = answered.map(({ store, value }) => shardJson(store, jsonOf(value, store)));
  return { shards, ...missingJson(sharding, missing) };
}

/** The JSON of something in a stream, with its shard first where there are shards. */
export function shardJson({ stream }: StreamStore, json: object): object {
  return stream.shard === null ? json : { shard: stream.shard, ...json };
}

/** An id of an entry, which is unique only within its shard: `3:1767225600000-0`. */
export function shownId({ stream }: StreamStore, id: string): string {
  return stream.shard === null ? id : `${stream.shard}:${id}`;
}

/** The streams by name: the key, or the common name and the shards. */
export function placeText({ shards }: Sharding, stores: readonly StreamStore[]): string {
  if (shards === null) return stores.map(({ stream }) => stream.key).join(', ');
  return `${shards.name}${inShards(stores)}`;
}

/** The part of a sentence that names the shards; empty without shards. */
export function inShards(stores: readonly StreamStore[]): string {
  const shards = stores.flatMap(({ stream }) => stream.shard ?? []);
  return shards.length === 0 ? '' : ` in ${shardsText(shards)}`;
}

/** That nothing was found, and where unless all answered; empty if no shard answered. */
export function noneText(
  what: string,
  streams: readonly StreamStore[],
  missing: readonly Missing[],
): string {
  const places = without(streams, missing);
  if (places.length === 0) return '';
  return `no ${what}${missing.length === 0 ? '' : inShards(places)}`;
}

/** One line for all streams with the same result. */
export function linesOf<Value>(
  answered: readonly Answered<Value>[],
  textOf: (value: Value, stores: readonly StreamStore[]) => string,
): string {
  const groups = new Map<string, { readonly value: Value; readonly stores: StreamStore[] }>();
  for (const { store, value } of answered) {
    const same = textOf(value, []);
    const group = groups.get(same);
    if (group === undefined) groups.set(same, { value, stores: [store] });
    else group.stores.push(store);
  }
  return [...groups.values()].map(({ value, stores }) => textOf(value, stores)).join('\n');
}

/** Lines below a result: what was done in each shard. Empty without shards. */
export function shardLines<Value>(
  answered: readonly Answered<Value>[],
  textOf: (value: Value) => string,
): string {
  const rows = answered.flatMap(({ store: { stream }, value }) =>
    stream.shard === null ? [] : [[`  shard ${stream.shard}`, textOf(value)]],
  );
  return rows.length === 0 ? '' : `\n${table(rows)}`;
}

/** `shard 3` or `shards 0-2,5`. */
export function shardsText(shards: readonly number[]): string {
  return `${shards.length === 1 ? 'shard' : 'shards'} ${numbersText(shards)}`;
}
