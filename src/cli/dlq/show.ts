import { isUtf8 } from 'node:buffer';
import { rangesText } from '../../stream/rejections.ts';
import type { KeptField } from '../../stream/stored-dead-letters.ts';
import { ageText } from '../format.ts';
import { isPrintable } from '../printable.ts';
import { shardJson } from '../shard-text.ts';
import { table } from '../table.ts';
import { deadLetterJson } from './dead-letter-json.ts';
import { type Found, shown } from './matching.ts';
import { replayProblem } from './replayable.ts';

/** Maximum of bytes shown of a field; `--json` and the export have all of them. */
const shownBytes = 2048;

/** Renders one dead letter as JSON and as text. */
export function showDeadLetter(found: Found, nowMs: number): { json: object; text: string } {
  const deadLetter = shown(found);
  if (deadLetter.kind === 'malformed') {
    const text = `${deadLetter.id} was not written by this service`;
    return { json: shardJson(found.store, deadLetter), text };
  }
  const problem = replayProblem(deadLetter);
  const facts = [
    ['dead letter', `${deadLetter.id} (${ageText(found.deadLetter.id, nowMs)} ago)`],
    ['entry', deadLetter.entryId],
    ['records', String(deadLetter.records)],
    ['deliveries', String(deadLetter.deliveries)],
    ['instance', deadLetter.instance],
    ['replay', problem ?? 'possible'],
  ];
  const rejections = deadLetter.rejections.map(({ stage, reason, message, records }) => [
    `  ${stage}`,
    reason,
    records === null ? 'the whole entry' : `records ${rangesText(records)}`,
    message,
  ]);
  const fields = deadLetter.fields.map((field) => [`  ${nameText(field)}`, valueText(field)]);
  const text = `${table(facts)}\nrejections\n${table(rejections)}\nfields\n${table(fields)}`;
  const json = { ...deadLetterJson(deadLetter), replay_problem: problem };
  return { json: shardJson(found.store, json), text };
}

function nameText({ name }: KeptField): string {
  return isText(name) ? name.toString() : `0x${name.toString('hex')}`;
}

function valueText({ value, cutFromBytes }: KeptField): string {
  const shown = value.subarray(0, shownBytes);
  const text = isText(shown) ? shown.toString() : `0x${shown.toString('hex')}`;
  const rest = value.length > shownBytes ? ` … of ${value.length} bytes` : '';
  return cutFromBytes === null ? `${text}${rest}` : `${text} … cut from ${cutFromBytes} bytes`;
}

/** Whether bytes are text that can be shown as it is. */
function isText(bytes: Buffer): boolean {
  return isUtf8(bytes) && isPrintable(bytes.toString());
}
