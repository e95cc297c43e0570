import type { Command } from 'commander';
import { rangesText } from '../stream/rejections.ts';
import type { StoredDeadLetter } from '../stream/stored-dead-letters.ts';
import { rejectionsJson } from './dlq/dead-letter-json.ts';
import { deviceOf } from './dlq/filter.ts';
import { type FilterFlags, type Found, matching, shown } from './dlq/matching.ts';
import { deadLetterId, filtered } from './dlq/options.ts';
import { withDeadLetters } from './dlq/shard-id.ts';
import { showDeadLetter } from './dlq/show.ts';
import { register as registerExport } from './dlq-export.ts';
import { register as registerPurge } from './dlq-purge.ts';
import { register as registerReplay } from './dlq-replay.ts';
import { register as registerStats } from './dlq-stats.ts';
import { ageText } from './format.ts';
import { type CliExit, type CliIo, cliExits, type OutputFlags, print } from './io.ts';
import { cliIo, readExits, type SetExitCode } from './options.ts';
import { noneText, printFound, reportMissing, shardJson } from './shard-text.ts';
import { type Missing, type ShardFlags, sharded } from './shards.ts';
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
  sharded(dlq.command('show'))
    .description('show everything that one dead letter keeps')
    .argument('<id>', "the dead letter's id, as dlq list prints it", deadLetterId)
    .option('--json', 'print the result as one JSON line', false)
    .addHelpText('after', readExits)
    .action(async (id: string, flags: OutputFlags & ShardFlags) =>
      setExitCode(await runDlqShow(cliIo(), id, flags)),
    );
  registerStats(dlq.command('stats'), setExitCode);
  registerExport(dlq.command('export'), setExitCode);
  registerPurge(dlq.command('purge'), setExitCode);
  registerReplay(dlq.command('replay'), setExitCode);
}

/** `processor dlq list`: one line a dead letter, newest first. */
export function runDlqList(io: CliIo, flags: OutputFlags & FilterFlags): Promise<CliExit> {
  return withDeadLetters(io, flags, async ({ config, streams }, asked) => {
    const missing: Missing[] = [];
    const found: Found[] = [];
    for await (const one of matching(streams, asked, 'newest_first', missing)) found.push(one);
    const nowMs = Date.now();
    const heading = ['DEAD LETTER', 'AGE', 'STAGE', 'REASON', 'DEVICE', 'RECORDS', 'MESSAGE'];
    const rows = found.map((one) => rowOf(one, nowMs));
    const none = noneText('dead letters', streams, missing);
    const text = rows.length === 0 ? none : table([heading, ...rows]);
    return printFound(io, flags, config, {
      result: { letters: found.map(summary) },
      text,
      missing,
    });
  });
}

function rowOf(found: Found, nowMs: number): string[] {
  const deadLetter = shown(found);
  const head = [deadLetter.id, ageText(found.deadLetter.id, nowMs)];
  if (deadLetter.kind === 'malformed') {
    return [...head, '-', 'malformed', '-', '-', 'not written by this service'];
  }
  return [
    ...head,
    joined(deadLetter, 'stage'),
    joined(deadLetter, 'reason'),
    deviceOf(deadLetter) ?? '-',
    recordsText(deadLetter),
    deadLetter.rejections[0].message,
  ];
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

function summary(found: Found): object {
  const deadLetter = shown(found);
  if (deadLetter.kind === 'malformed') return shardJson(found.store, deadLetter);
  const { id, entryId, records, deliveries, at } = deadLetter;
  return shardJson(found.store, {
    id,
    entry_id: entryId,
    at,
    device: deviceOf(deadLetter),
    deliveries,
    records,
    rejections: rejectionsJson(deadLetter.rejections),
  });
}

/** `processor dlq show <id>`: everything that a dead letter keeps. */
export function runDlqShow(
  io: CliIo,
  id: string,
  flags: OutputFlags & ShardFlags,
): Promise<CliExit> {
  const wanted = { ...flags, id, limit: 1 };
  return withDeadLetters(io, wanted, async ({ streams }, asked) => {
    const missing: Missing[] = [];
    for await (const found of matching(streams, asked, 'oldest_first', missing)) {
      const { json, text } = showDeadLetter(found, Date.now());
      print(io, flags, json, text);
      return cliExits.ok;
    }
    reportMissing(io, missing);
    if (missing.length > 0) return cliExits.failed;
    io.stderr.write(`processor: no dead letter has the id ${id}; see processor dlq list\n`);
    return cliExits.failed;
  });
}
