import { digestFields } from '../../stream/dead-letters.ts';
import type { StoredDeadLetter } from '../../stream/stored-dead-letters.ts';

/** In shape 1 a name of this length may have been cut. */
const cutNameBytes = 256;

/** Why a dead letter cannot be replayed with fields equal to the entry's, or null. */
export function replayProblem(deadLetter: StoredDeadLetter): string | null {
  const { fields, fieldsSha256, isPartial } = deadLetter;
  if (fields.length === 0) return 'it keeps no fields';
  const hasCutName =
    fieldsSha256 === null && fields.some(({ name }) => name.length >= cutNameBytes);
  if (isPartial || hasCutName) return 'fields of the entry were left out, or their names were cut';
  if (fields.some(({ cutFromBytes }) => cutFromBytes !== null)) {
    return 'a field was cut: it was longer than DEAD_LETTER_MAX_BYTES';
  }
  if (fieldsSha256 === null) return null;
  const isEqual = digestFields(fields.flatMap(({ name, value }) => [name, value])) === fieldsSha256;
  return isEqual ? null : "the kept fields are not the entry's: their SHA-256 is another one";
}
