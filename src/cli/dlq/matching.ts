import { compareIds } from '../../stream/entry-id.ts';
import {
  type Malformed,
  readDeadLetters,
  type StoredDeadLetter,
} from '../../stream/stored-dead-letters.ts';
import { shownId } from '../shard-text.ts';
import { type Missing, mergeShards, type ShardFlags, type StreamStore } from '../shards.ts';
import { type DeadLetterFilter, matches, rangeOf } from './filter.ts';

export type FilterFlags = DeadLetterFilter & ShardFlags & { readonly limit: number };

export type AnyDeadLetter = StoredDeadLetter | Malformed;
type Order = 'oldest_first' | 'newest_first';

/** A dead letter and the stream that has it. */
export interface Found<Kind extends AnyDeadLetter = AnyDeadLetter> {
  readonly store: StreamStore;
  readonly deadLetter: Kind;
}

/** Maximum of dead letters that a command reads of a stream: the default limit of the stream. */
const maxScanned = 1_000_000;

/**
 * Yields the dead letters that match the filter, at most `limit`, those of several shards in the order
 * of their ids. Shards that fail are added to `missing`.
 */
export async function* matching(
  streams: readonly StreamStore[],
  filter: FilterFlags,
  order: Order,
  missing: Missing[],
): AsyncGenerator<Found> {
  const sign = order === 'oldest_first' ? 1 : -1;
  const read = (store: StreamStore) => matchingIn(store, filter, order);
  const compare = (a: AnyDeadLetter, b: AnyDeadLetter) => sign * compareIds(a.id, b.id);
  let found = 0;
  for await (const { store, item } of mergeShards(streams, read, compare, missing)) {
    yield { store, deadLetter: item };
    found += 1;
    if (found === filter.limit) return;
  }
}

/** Yields those of one stream. @throws DependencyError */
export async function* matchingIn(
  { stream, redis }: StreamStore,
  filter: FilterFlags,
  order: Order,
): AsyncGenerator<AnyDeadLetter> {
  let scanned = 0;
  let found = 0;
  const range = { ...rangeOf(filter), order };
  for await (const deadLetter of readDeadLetters(await redis(), stream.deadLetterKey, range)) {
    scanned += 1;
    if (found === filter.limit || scanned > maxScanned) return;
    if (!matches(deadLetter, filter)) continue;
    found += 1;
    yield deadLetter;
  }
}

/** The dead letter with the ids that commands print. */
export function shown<Kind extends AnyDeadLetter>({ store, deadLetter }: Found<Kind>): Kind {
  const ids = { id: shownId(store, deadLetter.id) };
  if (deadLetter.kind === 'malformed') return { ...deadLetter, ...ids };
  return { ...deadLetter, ...ids, entryId: shownId(store, deadLetter.entryId) };
}
