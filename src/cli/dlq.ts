import { once } from 'node:events';
import { createWriteStream } from 'node:fs';
import type { Writable } from 'node:stream';
import { readDeadLetterTotals } from '../stream/dead-letter-totals.ts';
import { asRedisError } from '../stream/redis.ts';
import { rangesText } from '../stream/rejections.ts';
import {
  type Malformed,
  readDeadLetters,
  removeDeadLetters,
  type StoredDeadLetter,
} from '../stream/stored-dead-letters.ts';
import { audit } from './audit.ts';
import { askConsent, type ChangeFlags } from './change.ts';
import { exportLine, rejectionsJson } from './dlq/dead-letter-json.ts';
import {
  deviceOf,
  isEmptyFilter,
  type LetterFilter,
  matches,
  rangeOf,
  tellFilter,
} from './dlq/filter.ts';
import { showDeadLetter } from './dlq/show.ts';
import { createTally, renderTally } from './dlq/tally.ts';
import { ageText } from './format.ts';
import { type CliExit, type CliIo, cliExits, type OutputFlags, print } from './io.ts';
import { type Stores, withStores } from './stores.ts';
import { table } from './table.ts';

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

/** `processor dlq list`: one line a dead letter, newest first. */
export function runDlqList(io: CliIo, flags: OutputFlags & FilterFlags): Promise<CliExit> {
  return withStores(io, async (stores) => {
    const letters: (StoredDeadLetter | Malformed)[] = [];
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
            ...[letter.id, ageText(letter.id, nowMs)],
            ...[joined(letter, 'stage'), joined(letter, 'reason'), deviceOf(letter) ?? '-'],
            ...[recordsText(letter), letter.rejections[0].message],
          ],
    );
    const heading = ['DEAD LETTER', 'AGE', 'STAGE', 'REASON', 'DEVICE', 'RECORDS', 'MESSAGE'];
    const text = rows.length === 0 ? 'no dead letters' : table([heading, ...rows]);
    print(io, flags, { letters: letters.map(summary) }, text);
    return cliExits.ok;
  });
}

/** Each stage, or reason, of the rejections once. */
function joined({ rejections }: StoredDeadLetter, part: 'stage' | 'reason'): string {
  return [...new Set(rejections.map((group) => group[part]))].join(',');
}

/** The rejected record indexes; `all` for the whole entry. */
function recordsText({ rejections }: StoredDeadLetter): string {
  return rejections
    .map(({ records }) => (records === null ? 'all' : rangesText(records)))
    .join(',');
}

function summary(letter: StoredDeadLetter | Malformed): object {
  if (letter.kind === 'malformed') return letter;
  const { id, entryId, records, deliveries, at } = letter;
  return {
    ...{ id, entry_id: entryId, at, device: deviceOf(letter), deliveries, records },
    rejections: rejectionsJson(letter.rejections),
  };
}

/** `processor dlq show <id>`: everything that a dead letter keeps. */
export function runDlqShow(io: CliIo, id: string, flags: OutputFlags): Promise<CliExit> {
  return withStores(io, async ({ config, redis }) => {
    const range = { from: id, to: id, order: 'oldest_first' } as const;
    for await (const letter of readDeadLetters(await redis(), config.stream.deadLetterKey, range)) {
      const { json, text } = showDeadLetter(letter, Date.now());
      print(io, flags, json, text);
      return cliExits.ok;
    }
    io.stderr.write(`processor: no dead letter has the id ${id}; see processor dlq list\n`);
    return cliExits.failed;
  });
}

/** `processor dlq stats`: how many dead letters, by reason, stage and device. */
export function runDlqStats(io: CliIo, flags: OutputFlags & FilterFlags): Promise<CliExit> {
  return withStores(io, async (stores) => {
    const { key, deadLetterKey, deadLetterMaxEntries, ...stream } = stores.config.stream;
    const tally = createTally();
    for await (const letter of matching(stores, flags, 'newest_first')) tally.add(letter);
    const length = await lengthOf(stores, deadLetterKey);
    const totals = await readDeadLetterTotals(await stores.redis(), key);
    const result = {
      ...{ ...tally.result(), length, max_entries: deadLetterMaxEntries },
      ...{ bytes: totals.bytes, max_bytes: stream.deadLetterStreamMaxBytes },
      ...{ dropped_entries: totals.droppedEntries, dropped_bytes: totals.droppedBytes },
    };
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

/** `processor dlq export`: the dead letters as NDJSON, byte for byte, oldest first. */
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
    print(io, flags, { letters, to: flags.to }, `${letters} dead letters written to ${flags.to}`);
    return cliExits.ok;
  });
}

/** For its owner alone, because dead letters hold devices and positions; never over another file. */
async function openNew(path: string): Promise<Writable> {
  const file = createWriteStream(path, { flags: 'wx', mode: 0o600 });
  await once(file, 'open');
  return file;
}

/** `processor dlq purge`: deletes dead letters for good. */
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
    const purged = await removeDeadLetters(await stores.redis(), stream.deadLetterKey, ids);
    await audit(io, flags, stores, 'dlq purge', `${purged} letters: ${tellFilter(flags)}`);
    print(io, flags, { letters: ids.length, purged }, `${purged} dead letters deleted`);
    return cliExits.ok;
  });
}
