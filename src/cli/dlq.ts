import { once } from 'node:events';
import { createWriteStream } from 'node:fs';
import type { Writable } from 'node:stream';
import { type Letter, type Malformed, readLetters, removeLetters } from '../stream/letters.ts';
import { asRedisError } from '../stream/redis.ts';
import { audit } from './audit.ts';
import { askConsent, type ChangeFlags } from './change.ts';
import {
  deviceOf,
  isEmptyFilter,
  type LetterFilter,
  matches,
  rangeOf,
  tellFilter,
} from './dlq/filter.ts';
import { exportLine } from './dlq/letter-json.ts';
import { showLetter } from './dlq/show.ts';
import { createTally, renderTally } from './dlq/tally.ts';
import { ageText } from './format.ts';
import { type CliExit, type CliIo, cliExits, type OutputFlags, print } from './io.ts';
import { type Stores, withStores } from './stores.ts';
import { table } from './table.ts';

export type FilterFlags = LetterFilter & { readonly limit: number };

/** Letters looked through before a command gives up on finding more: the stream's default cap. */
const mostScanned = 1_000_000;

/** The letters that match, newest or oldest first, `limit` at most. */
export async function* matching(
  { config, redis }: Stores,
  filter: FilterFlags,
  order: 'oldest_first' | 'newest_first',
): AsyncGenerator<Letter | Malformed> {
  let scanned = 0;
  let found = 0;
  const letters = readLetters(await redis(), config.stream.deadLetterKey, {
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

/** `processor dlq list`: one line a letter, newest first. */
export function runDlqList(io: CliIo, flags: OutputFlags & FilterFlags): Promise<CliExit> {
  return withStores(io, async (stores) => {
    const letters: (Letter | Malformed)[] = [];
    for await (const letter of matching(stores, flags, 'newest_first')) letters.push(letter);
    const nowMs = Date.now();
    const rows = letters.map((letter) =>
      letter.kind === 'malformed'
        ? [
            letter.id,
            ageText(letter.id, nowMs),
            '-',
            'malformed',
            '-',
            '-',
            'not written by this service',
          ]
        : [
            ...[letter.id, ageText(letter.id, nowMs), letter.stage, letter.reason],
            ...[deviceOf(letter) ?? '-', String(letter.recordIndex ?? '-'), letter.message],
          ],
    );
    const heading = ['LETTER', 'AGE', 'STAGE', 'REASON', 'DEVICE', 'RECORD', 'MESSAGE'];
    const text = rows.length === 0 ? 'no dead letters' : table([heading, ...rows]);
    print(io, flags, { letters: letters.map(summary) }, text);
    return cliExits.ok;
  });
}

function summary(letter: Letter | Malformed): object {
  if (letter.kind === 'malformed') return letter;
  const { id, entryId, stage, reason, message, recordIndex, deliveries, at } = letter;
  return {
    ...{ id, entry_id: entryId, at, stage, reason, device: deviceOf(letter), message },
    ...{ record_index: recordIndex, deliveries },
  };
}

/** `processor dlq show <letter>`: everything that the letter keeps. */
export function runDlqShow(io: CliIo, id: string, flags: OutputFlags): Promise<CliExit> {
  return withStores(io, async ({ config, redis }) => {
    const range = { from: id, to: id, order: 'oldest_first' } as const;
    for await (const letter of readLetters(await redis(), config.stream.deadLetterKey, range)) {
      const { json, text } = showLetter(letter, Date.now());
      print(io, flags, json, text);
      return cliExits.ok;
    }
    io.stderr.write(`processor: no dead letter has the id ${id}; see processor dlq list\n`);
    return cliExits.failed;
  });
}

/** `processor dlq stats`: how many letters, of what, of whom. */
export function runDlqStats(io: CliIo, flags: OutputFlags & FilterFlags): Promise<CliExit> {
  return withStores(io, async (stores) => {
    const { deadLetterKey, deadLetterMaxEntries } = stores.config.stream;
    const tally = createTally();
    for await (const letter of matching(stores, flags, 'newest_first')) tally.add(letter);
    const length = await lengthOf(stores, deadLetterKey);
    const result = { ...tally.result(), length, max_entries: deadLetterMaxEntries };
    print(io, flags, result, renderTally(result, Date.now()));
    return cliExits.ok;
  });
}

async function lengthOf({ redis }: Stores, key: string): Promise<number> {
  try {
    return await (await redis()).xlen(key);
  } catch (error) {
    throw asRedisError(error);
  }
}

/** `processor dlq export`: the letters as NDJSON, byte for byte, oldest first. */
export function runDlqExport(
  io: CliIo,
  flags: OutputFlags & FilterFlags & { to: string },
): Promise<CliExit> {
  return withStores(io, async (stores) => {
    const isStdout = flags.to === '-';
    let sink: Writable = io.stdout;
    if (!isStdout) {
      try {
        sink = await openNew(flags.to);
      } catch (error) {
        const why = error instanceof Error ? error.message : String(error);
        io.stderr.write(`processor: cannot write there: ${why}\n`);
        return cliExits.failed;
      }
    }
    let letters = 0;
    for await (const letter of matching(stores, flags, 'oldest_first')) {
      if (io.signal.aborted) return cliExits.failed;
      if (!sink.write(exportLine(letter))) await once(sink, 'drain');
      letters += 1;
    }
    if (isStdout) return cliExits.ok;
    sink.end();
    await once(sink, 'close');
    print(io, flags, { letters, to: flags.to }, `${letters} letters written to ${flags.to}`);
    return cliExits.ok;
  });
}

/** For its owner alone, because letters hold devices and places; never over another file. */
async function openNew(path: string): Promise<Writable> {
  const file = createWriteStream(path, { flags: 'wx', mode: 0o600 });
  await once(file, 'open');
  return file;
}

/** `processor dlq purge`: deletes letters for good. */
export function runDlqPurge(
  io: CliIo,
  flags: ChangeFlags & FilterFlags & { all: boolean },
): Promise<CliExit> {
  return withStores(io, async (stores) => {
    const { stream } = stores.config;
    if (!flags.all && isEmptyFilter(flags)) {
      io.stderr.write(
        'processor: name what to purge (--reason, --device …), or all of it by --all\n',
      );
      return cliExits.refused;
    }
    const ids: string[] = [];
    for await (const letter of matching(stores, flags, 'oldest_first')) ids.push(letter.id);
    const what = `delete ${ids.length} dead letters for good (${tellFilter(flags)})`;
    const consent = ids.length === 0 ? 'given' : await askConsent(io, flags, what);
    if (consent === 'refused') return cliExits.refused;
    if (consent === 'dry_run') {
      print(io, flags, { dry_run: true, letters: ids.length, purged: 0 }, `would ${what}`);
      return cliExits.ok;
    }
    const purged = await removeLetters(await stores.redis(), stream.deadLetterKey, ids);
    await audit(io, flags, stores, 'dlq purge', `${purged} letters: ${tellFilter(flags)}`);
    print(io, flags, { letters: ids.length, purged }, `${purged} dead letters deleted`);
    return cliExits.ok;
  });
}
