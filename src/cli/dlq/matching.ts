import {
  type Malformed,
  readDeadLetters,
  type StoredDeadLetter,
} from '../../stream/stored-dead-letters.ts';
import type { Stores } from '../stores.ts';
import { type DeadLetterFilter, matches, rangeOf } from './filter.ts';

export type FilterFlags = DeadLetterFilter & { readonly limit: number };

/** Maximum of dead letters that a command reads: the default limit of the stream. */
const maxScanned = 1_000_000;

/** Yields the dead letters that match the filter, at most `limit`. */
export async function* matching(
  { config, redis }: Stores,
  filter: FilterFlags,
  order: 'oldest_first' | 'newest_first',
): AsyncGenerator<StoredDeadLetter | Malformed> {
  let scanned = 0;
  let found = 0;
  const deadLetters = readDeadLetters(await redis(), config.stream.deadLetterKey, {
    ...rangeOf(filter),
    order,
  });
  for await (const deadLetter of deadLetters) {
    scanned += 1;
    if (found === filter.limit || scanned > maxScanned) return;
    if (!matches(deadLetter, filter)) continue;
    found += 1;
    yield deadLetter;
  }
}
