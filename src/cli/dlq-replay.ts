import type { Command } from 'commander';
import type { StoredDeadLetter } from '../stream/stored-dead-letters.ts';
import { createInterpret } from '../teltonika/interpret.ts';
import { audit } from './audit.ts';
import { type ChangeFlags, type Done, makeChange } from './change.ts';
import { auditFilter, deviceOf, tellFilter } from './dlq/filter.ts';
import { type Fix, parseFix } from './dlq/fix.ts';
import { type FilterFlags, matching } from './dlq/matching.ts';
import { filtered, many } from './dlq/options.ts';
import { type LettersOfEntry, type Replayed, replayLetters } from './dlq/replay.ts';
import { replayProblem } from './dlq/replayable.ts';
import { type CliExit, type CliIo, cliExits } from './io.ts';
import { changing, cliIo, collect, positive, type SetExitCode } from './options.ts';
import { type Stores, withStores } from './stores.ts';

/** Registers `processor dlq replay`. */
export function register(command: Command, setExitCode: SetExitCode): void {
  changing(filtered(command, many))
    .description(
      'send entries through the service again; a dead letter is deleted once all of its entry is stored',
    )
    .option(
      '--fix <field=value>',
      'change a field of a payload entry first (may be repeated); needs --device or --id',
      collect,
      [],
    )
    .option('--rate <entries>', 'entries a second, at most', positive, 100)
    .option('--timeout <seconds>', 'longest wait for the service to settle some', positive, 60)
    .addHelpText(
      'after',
      '\nExit codes: 0 all is stored, 1 failed or dead letters are left, 2 not carried out.',
    )
    .action(async (flags: ReplayFlags) => setExitCode(await runDlqReplay(cliIo(), flags)));
}

export interface ReplayFlags extends ChangeFlags, FilterFlags {
  readonly fix: readonly string[];
  readonly rate: number;
  /** Seconds. */
  readonly timeout: number;
}

/** Entries under way at a time: each is held in memory until it is confirmed. */
const underWay = 100;

/** `processor dlq replay`: sends the entries of dead letters through the service again. */
export function runDlqReplay(io: CliIo, flags: ReplayFlags): Promise<CliExit> {
  const fixes = flags.fix.map(parseFix);
  const wrong = flags.fix.find((_, at) => fixes[at] === null);
  if (wrong !== undefined) {
    const shape = 'device_id=…, ts=…, codec=… or payload.<field>=…, as payload.latitude=54.6';
    io.stderr.write(`processor: --fix ${wrong.split('=', 1)[0]}: expected ${shape}\n`);
    return Promise.resolve(cliExits.refused);
  }
  if (flags.fix.length > 0 && flags.device === undefined && flags.id === undefined) {
    io.stderr.write(
      'processor: --fix writes the same value into every entry: name a --device, or a dead letter by --id\n',
    );
    return Promise.resolve(cliExits.refused);
  }
  return withStores(io, async (stores) => {
    const { letters, entries, devices } = await countReplayable(stores, flags);
    const changes = flags.fix.length === 0 ? '' : `set ${flags.fix.join(', ')} in ${entries} and `;
    const what = `${changes}replay ${letters} dead letters of ${devices} (${tellFilter(flags)})`;
    return await makeChange(io, flags, {
      what,
      planned: { letters },
      isEmpty: letters === 0,
      carryOut: () =>
        replayAll(
          io,
          flags,
          stores,
          fixes.filter((fix) => fix !== null),
        ),
    });
  });
}

async function replayAll(
  io: CliIo,
  flags: ReplayFlags,
  stores: Stores,
  fixes: readonly Fix[],
): Promise<Done> {
  const sum = createSum();
  try {
    for await (const chunk of chunksOf(stores, flags)) {
      sum.add(await replayChunk(io, stores, chunk, flags, fixes));
      if (io.signal.aborted) break;
    }
  } finally {
    // Here, so that a failure of Redis or the database leaves a line of what was done before it.
    const detail = `${auditFilter(stores.config, flags)}${fixedFields(fixes)}: ${sum.text()}`;
    await audit(io, flags, stores, 'dlq replay', detail);
  }
  const isWhole = sum.isAllStored() && !io.signal.aborted;
  const exit = isWhole ? cliExits.ok : cliExits.failed;
  return { result: sum.result(), text: sum.text(), exit };
}

/** The names of the fields that were changed, for the audit; their values may be personal data. */
function fixedFields(fixes: readonly Fix[]): string {
  return fixes.map(({ path }) => ` fix=${path.join('.')}`).join('');
}

/** How much would be replayed, in words for the question. */
async function countReplayable(
  stores: Stores,
  flags: ReplayFlags,
): Promise<{ letters: number; entries: string; devices: string }> {
  const entries = new Set<string>();
  const devices = new Set<string>();
  let letters = 0;
  for await (const letter of matching(stores, flags, 'oldest_first')) {
    if (letter.kind !== 'dead_letter' || replayProblem(letter) !== null) continue;
    letters += 1;
    entries.add(letter.entryId);
    devices.add(deviceOf(letter) ?? 'unknown');
  }
  return {
    letters,
    entries: entries.size === 1 ? '1 entry' : `${entries.size} entries`,
    devices: devices.size === 1 ? '1 device' : `${devices.size} devices`,
  };
}

/** Dead letters by entry, some entries at a time; shape 1 has several of one entry side by side. */
async function* chunksOf(stores: Stores, flags: ReplayFlags): AsyncGenerator<LettersOfEntry[]> {
  let groups: { letters: StoredDeadLetter[] }[] = [];
  for await (const letter of matching(stores, flags, 'oldest_first')) {
    if (letter.kind === 'malformed') continue;
    const last = groups.at(-1);
    if (last?.letters[0]?.entryId === letter.entryId) {
      last.letters.push(letter);
      continue;
    }
    if (groups.length === underWay) {
      yield groups;
      groups = [];
    }
    groups.push({ letters: [letter] });
  }
  if (groups.length > 0) yield groups;
}

function replayChunk(
  io: CliIo,
  stores: Stores,
  chunk: readonly LettersOfEntry[],
  flags: ReplayFlags,
  fixes: readonly Fix[],
): Promise<Replayed[]> {
  return replayLetters(stores, chunk, {
    fixes,
    rate: flags.rate,
    timeoutMs: flags.timeout * 1000,
    signal: io.signal,
    interpret: createInterpret(stores.config.validation, Date.now),
  });
}

/** The outcomes of a replay, entry by entry. */
function createSum() {
  const counts = { stored: 0, rejected_again: 0, unconfirmed: 0, not_replayable: 0 };
  const reasons = new Map<string, number>();
  return {
    add(replayed: readonly Replayed[]): void {
      for (const one of replayed) {
        counts[one.kind] += 1;
        const reason =
          one.kind === 'rejected_again'
            ? one.reason
            : one.kind === 'not_replayable'
              ? one.problem
              : null;
        if (reason !== null) reasons.set(reason, (reasons.get(reason) ?? 0) + 1);
      }
    },
    result: () => ({ ...counts, reasons: Object.fromEntries(reasons) }),
    isAllStored: () => counts.rejected_again + counts.unconfirmed + counts.not_replayable === 0,
    text(): string {
      const why = [...reasons].map(([reason, entries]) => `${reason} ${entries}`).join(', ');
      const parts = Object.entries(counts).map(([name, entries]) => `${name}=${entries}`);
      return parts.join(' ') + (why === '' ? '' : ` (${why})`);
    },
  };
}
