import {
  type Malformed,
  readDeadLetters,
  type StoredDeadLetter,
} from '../../stream/stored-dead-letters.ts';
import type { Stores } from '../stores.ts';
import { type LetterFilter, matches, rangeOf } from './filter.ts';

export type FilterFlags = LetterFilter & { readonly limit: number };

/** Dead letters read before a command gives up on finding more: the stream's default cap. */
const mostScanned = 1_000_000;

/** The dead letters that match, newest or oldest first, `limit` at most. */
export async function* matching(
  { config, redis }: Stores,
  filter: FilterFlags,
  order: 'oldest_first' | 'newest_first',
): AsyncGenerator<StoredDeadLetter | Malformed> {
  let scanned = 0;
  let found = 0;
  const letters = readDeadLetters(await redis(), config.stream.deadLetterKey, {
    ...rangeOf(filter),
    order,
  });
  for await (const letter of letters) {
    scanned += 1;
    if (found === filter.limit || scanned > mostScanned) return;
    if (!matches(letter, filter)) continue;
    found += 1;
    yield letter;
  }
}
