import type { Command } from 'commander';
import type { StoredDeadLetter } from '../stream/stored-dead-letters.ts';
import { createInterpret } from '../teltonika/interpret.ts';
import { audit } from './audit.ts';
import { type ChangeFlags, type Done, makeChange } from './change.ts';
import { auditFilter, deviceOf, filterText } from './dlq/filter.ts';
import { type Fix, parseFix } from './dlq/fix.ts';
import { type FilterFlags, matching } from './dlq/matching.ts';
import { filtered, maxDeadLetters } from './dlq/options.ts';
import { type DeadLettersOfEntry, type Replayed, replayDeadLetters } from './dlq/replay.ts';
import { replayProblem } from './dlq/replayable.ts';
import { type CliExit, type CliIo, cliExits } from './io.ts';
import { changing, cliIo, collect, positive, type SetExitCode } from './options.ts';
import { type Stores, withStores } from './stores.ts';

/** Registers `processor dlq replay`. */
export function register(command: Command, setExitCode: SetExitCode): void {
  changing(filtered(command, maxDeadLetters))
    .description(
      'send the entries of dead letters through the service again; a dead letter is deleted once every record of its entry is stored',
    )
    .option(
      '--fix <field=value>',
      'change a field of a payload entry first (may be repeated); needs --device or --id',
      collect,
      [],
    )
    .option('--rate <entries>', 'maximum entries per second', positive, 100)
    .option('--timeout <seconds>', 'maximum wait for the service to settle an entry', positive, 60)
    .addHelpText(
      'after',
      '\nExit codes: 0 everything is stored, 1 failed or dead letters remain, 2 not carried out.',
    )
    .action(async (flags: ReplayFlags) => setExitCode(await runDlqReplay(cliIo(), flags)));
}

export interface ReplayFlags extends ChangeFlags, FilterFlags {
  readonly fix: readonly string[];
  readonly rate: number;
  /** Seconds. */
  readonly timeout: number;
}

/** Maximum number of entries in replay; each is held in memory until it is confirmed. */
const maxInReplay = 100;

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
      'processor: --fix writes the same value into every entry: select a device by --device, or a dead letter by --id\n',
    );
    return Promise.resolve(cliExits.refused);
  }
  return withStores(io, async (stores) => {
    const { deadLetters, entries, devices } = await countReplayable(stores, flags);
    const changes = flags.fix.length === 0 ? '' : `set ${flags.fix.join(', ')} in ${entries} and `;
    const what = `${changes}replay ${deadLetters} dead letters of ${devices} (${filterText(flags)})`;
    return await makeChange(io, flags, {
      what,
      planned: { letters: deadLetters },
      isEmpty: deadLetters === 0,
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

/** Counts what a replay would send, for the question to the operator. */
async function countReplayable(
  stores: Stores,
  flags: ReplayFlags,
): Promise<{ deadLetters: number; entries: string; devices: string }> {
  const entries = new Set<string>();
  const devices = new Set<string>();
  let deadLetters = 0;
  for await (const deadLetter of matching(stores, flags, 'oldest_first')) {
    if (deadLetter.kind !== 'dead_letter' || replayProblem(deadLetter) !== null) continue;
    deadLetters += 1;
    entries.add(deadLetter.entryId);
    devices.add(deviceOf(deadLetter) ?? 'unknown');
  }
  return {
    deadLetters,
    entries: entries.size === 1 ? '1 entry' : `${entries.size} entries`,
    devices: devices.size === 1 ? '1 device' : `${devices.size} devices`,
  };
}

/** Groups dead letters by entry, in chunks; shape 1 has several dead letters of one entry in a row. */
async function* chunksOf(stores: Stores, flags: ReplayFlags): AsyncGenerator<DeadLettersOfEntry[]> {
  let groups: { deadLetters: StoredDeadLetter[] }[] = [];
  for await (const deadLetter of matching(stores, flags, 'oldest_first')) {
    if (deadLetter.kind === 'malformed') continue;
    const last = groups.at(-1);
    if (last?.deadLetters[0]?.entryId === deadLetter.entryId) {
      last.deadLetters.push(deadLetter);
      continue;
    }
    if (groups.length === maxInReplay) {
      yield groups;
      groups = [];
    }
    groups.push({ deadLetters: [deadLetter] });
  }
  if (groups.length > 0) yield groups;
}

function replayChunk(
  io: CliIo,
  stores: Stores,
  chunk: readonly DeadLettersOfEntry[],
  flags: ReplayFlags,
  fixes: readonly Fix[],
): Promise<Replayed[]> {
  return replayDeadLetters(stores, chunk, {
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
