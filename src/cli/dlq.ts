import type { Command } from 'commander';
import { readDeadLetterTotals } from '../stream/dead-letter-totals.ts';
import { callRedis } from '../stream/redis.ts';
import { rangesText } from '../stream/rejections.ts';
import {
  type Malformed,
  readDeadLetters,
  type StoredDeadLetter,
} from '../stream/stored-dead-letters.ts';
import { rejectionsJson } from './dlq/dead-letter-json.ts';
import { deviceOf } from './dlq/filter.ts';
import { type FilterFlags, matching } from './dlq/matching.ts';
import { deadLetterId, filtered, maxDeadLetters } from './dlq/options.ts';
import { showDeadLetter } from './dlq/show.ts';
import { createTally, renderTally } from './dlq/tally.ts';
import { register as registerExport } from './dlq-export.ts';
import { register as registerPurge } from './dlq-purge.ts';
import { register as registerReplay } from './dlq-replay.ts';
import { ageText } from './format.ts';
import { type CliExit, type CliIo, cliExits, type OutputFlags, print } from './io.ts';
import { cliIo, readExits, type SetExitCode } from './options.ts';
import { type Stores, withStores } from './stores.ts';
import { table } from './table.ts';

/** Registers the commands of `processor dlq`. */
export function register(dlq: Command, setExitCode: SetExitCode): void {
  filtered(dlq.command('list'), 50)
    .description('list dead letters, one per line, newest first')
    .option('--json', 'print the result as one JSON line', false)
    .addHelpText('after', readExits)
    .action(async (flags: OutputFlags & FilterFlags) =>
      setExitCode(await runDlqList(cliIo(), flags)),
    );
  dlq
    .command('show')
    .description('show everything that one dead letter keeps')
    .argument('<id>', "the dead letter's id, as dlq list prints it", deadLetterId)
    .option('--json', 'print the result as one JSON line', false)
    .addHelpText('after', readExits)
    .action(async (id: string, flags: OutputFlags) =>
      setExitCode(await runDlqShow(cliIo(), id, flags)),
    );
  filtered(dlq.command('stats'), maxDeadLetters)
    .description('count dead letters by reason, stage and device')
    .option('--json', 'print the result as one JSON line', false)
    .addHelpText('after', readExits)
    .action(async (flags: OutputFlags & FilterFlags) =>
      setExitCode(await runDlqStats(cliIo(), flags)),
    );
  registerExport(dlq.command('export'), setExitCode);
  registerPurge(dlq.command('purge'), setExitCode);
  registerReplay(dlq.command('replay'), setExitCode);
}

/** `processor dlq list`: one line a dead letter, newest first. */
export function runDlqList(io: CliIo, flags: OutputFlags & FilterFlags): Promise<CliExit> {
  return withStores(io, async (stores) => {
    const deadLetters: (StoredDeadLetter | Malformed)[] = [];
    for await (const deadLetter of matching(stores, flags, 'newest_first'))
      deadLetters.push(deadLetter);
    const nowMs = Date.now();
    const rows = deadLetters.map((deadLetter) =>
      deadLetter.kind === 'malformed'
        ? [
            deadLetter.id,
            ageText(deadLetter.id, nowMs),
            '-',
            'malformed',
            '-',
            '-',
            'not written by this service',
          ]
        : [
            deadLetter.id,
            ageText(deadLetter.id, nowMs),
            joined(deadLetter, 'stage'),
            joined(deadLetter, 'reason'),
            deviceOf(deadLetter) ?? '-',
            recordsText(deadLetter),
            deadLetter.rejections[0].message,
          ],
    );
    const heading = ['DEAD LETTER', 'AGE', 'STAGE', 'REASON', 'DEVICE', 'RECORDS', 'MESSAGE'];
    const text = rows.length === 0 ? 'no dead letters' : table([heading, ...rows]);
    print(io, flags, { letters: deadLetters.map(summary) }, text);
    return cliExits.ok;
  });
}

/** Lists each stage, or each reason, of the rejections once. */
function joined({ rejections }: StoredDeadLetter, part: 'stage' | 'reason'): string {
  return [...new Set(rejections.map((group) => group[part]))].join(',');
}

/** The rejected record indexes; `all` for the whole entry. */
function recordsText({ rejections }: StoredDeadLetter): string {
  return rejections
    .map(({ records }) => (records === null ? 'all' : rangesText(records)))
    .join(',');
}

function summary(deadLetter: StoredDeadLetter | Malformed): object {
  if (deadLetter.kind === 'malformed') return deadLetter;
  const { id, entryId, records, deliveries, at } = deadLetter;
  return {
    id,
    entry_id: entryId,
    at,
    device: deviceOf(deadLetter),
    deliveries,
    records,
    rejections: rejectionsJson(deadLetter.rejections),
  };
}

/** `processor dlq show <id>`: everything that a dead letter keeps. */
export function runDlqShow(io: CliIo, id: string, flags: OutputFlags): Promise<CliExit> {
  return withStores(io, async ({ config, redis }) => {
    const range = { from: id, to: id, order: 'oldest_first' } as const;
    for await (const deadLetter of readDeadLetters(
      await redis(),
      config.stream.deadLetterKey,
      range,
    )) {
      const { json, text } = showDeadLetter(deadLetter, Date.now());
      print(io, flags, json, text);
      return cliExits.ok;
    }
    io.stderr.write(`processor: no dead letter has the id ${id}; see processor dlq list\n`);
    return cliExits.failed;
  });
}

/** `processor dlq stats`: how maxDeadLetters dead letters, by reason, stage and device. */
export function runDlqStats(io: CliIo, flags: OutputFlags & FilterFlags): Promise<CliExit> {
  return withStores(io, async (stores) => {
    const { key, deadLetterKey, deadLetterMaxEntries, ...stream } = stores.config.stream;
    const tally = createTally();
    for await (const deadLetter of matching(stores, flags, 'newest_first')) tally.add(deadLetter);
    const length = await lengthOf(stores, deadLetterKey);
    const totals = await readDeadLetterTotals(await stores.redis(), key);
    const result = {
      ...tally.result(),
      length,
      max_entries: deadLetterMaxEntries,
      bytes: totals.bytes,
      max_bytes: stream.deadLetterStreamMaxBytes,
      dropped_entries: totals.droppedEntries,
      dropped_bytes: totals.droppedBytes,
    };
    print(io, flags, result, renderTally(result, Date.now()));
    return cliExits.ok;
  });
}

async function lengthOf({ redis }: Stores, key: string): Promise<number> {
  return await callRedis(async () => {
    return await (await redis()).xlen(key);
  });
}
