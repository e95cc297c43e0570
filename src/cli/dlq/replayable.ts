import type { Letter } from '../../stream/letters.ts';

/** Why a letter cannot be replayed, or null. */
export function replayProblem(letter: Letter): string | null {
  if (letter.fields.length === 0) return 'it keeps no fields';
  if (letter.isPartial) return 'fields of the entry were left out';
  if (letter.fields.some(({ cutFromBytes }) => cutFromBytes !== null)) {
    return 'a field was cut: it was longer than DEAD_LETTER_MAX_BYTES';
  }
  return null;
}
