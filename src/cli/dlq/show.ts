import { isUtf8 } from 'node:buffer';
import type { Letter, LetterField, Malformed } from '../../stream/letters.ts';
import { ageText } from '../format.ts';
import { table } from '../table.ts';
import { letterJson } from './letter-json.ts';
import { replayProblem } from './replayable.ts';

/** Bytes of a frame shown to people; `--json` and the export have all of them. */
const shownBytes = 2048;

/** One letter for people and for programs. */
export function showLetter(
  letter: Letter | Malformed,
  nowMs: number,
): { json: object; text: string } {
  if (letter.kind === 'malformed') {
    return { json: letter, text: `${letter.id} was not written by this service` };
  }
  const problem = replayProblem(letter);
  const facts = [
    ['letter', `${letter.id} (${ageText(letter.id, nowMs)} ago)`],
    ['entry', letter.entryId],
    ['stage', letter.stage],
    ['reason', letter.reason],
    ['message', letter.message],
    ['record', letter.recordIndex === null ? '-' : String(letter.recordIndex)],
    ['deliveries', String(letter.deliveries)],
    ['instance', letter.instance],
    ['replay', problem ?? 'possible'],
  ];
  const fields = letter.fields.map((field) => [`  ${nameText(field)}`, valueText(field)]);
  const text = `${table(facts)}\nfields\n${table(fields)}`;
  return { json: { ...letterJson(letter), replay_problem: problem }, text };
}

function nameText({ name }: LetterField): string {
  return printable(name) ? name.toString() : `0x${name.toString('hex')}`;
}

function valueText({ value, cutFromBytes }: LetterField): string {
  const shown = value.subarray(0, shownBytes);
  const text = printable(shown) ? shown.toString() : `0x${shown.toString('hex')}`;
  const rest = value.length > shownBytes ? ` … of ${value.length} bytes` : '';
  return cutFromBytes === null ? `${text}${rest}` : `${text} … cut from ${cutFromBytes} bytes`;
}

/** Text without a control character: a letter must not write to the operator's terminal. */
function printable(bytes: Buffer): boolean {
  return isUtf8(bytes) && !/\p{C}/u.test(bytes.toString());
}
