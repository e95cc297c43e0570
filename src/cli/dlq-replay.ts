import type { Command } from 'commander';
import type { StoredDeadLetter } from '../stream/stored-dead-letters.ts';
import { createInterpret } from '../teltonika/interpret.ts';
import { audit } from './audit.ts';
import type { ChangeFlags, Done } from './change.ts';
import { changeAnswered } from './dlq/change-answered.ts';
import { auditFilter, deviceOf, filterText } from './dlq/filter.ts';
import { type Fix, parseFix } from './dlq/fix.ts';
import { type FilterFlags, matching, matchingIn } from './dlq/matching.ts';
import { filtered, maxDeadLetters } from './dlq/options.ts';
import {
  type DeadLettersOfEntry,
  type Replayed,
  type ReplayOptions,
  replayDeadLetters,
} from './dlq/replay.ts';
import { replayProblem } from './dlq/replayable.ts';
import { withDeadLetters } from './dlq/shard-id.ts';
import { type CliExit, type CliIo, cliExits } from './io.ts';
import { changing, cliIo, collect, positive, type SetExitCode } from './options.ts';
import { createPace } from './pace.ts';
import { reportUnchanged, shardLines, shardsJson, shownId } from './shard-text.ts';
import {
  exitOf,
  type Missing,
  overShards,
  type StreamStore,
  untouched,
  without,
} from './shards.ts';
import type { Stores } from './stores.ts';

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
  const values = fixes.filter((fix) => fix !== null);
  return withDeadLetters(io, flags, async (stores, asked) => {
    const plan = await planReplay(stores, asked);
    const changes =
      flags.fix.length === 0 ? '' : `set ${flags.fix.join(', ')} in ${plan.entries} and `;
    const found = { stores: [...plan.limits.keys()], missing: plan.missing };
    return await changeAnswered(io, flags, stores, found, (where) => ({
      what: `${changes}replay ${plan.deadLetters} dead letters of ${plan.devices}${where} (${filterText(asked)})`,
      planned: { letters: plan.deadLetters },
      isEmpty: plan.deadLetters === 0,
      carryOut: () => replayAll(io, asked, stores, plan, values),
    }));
  });
}

/** Replays the dead letters of all shards at the same time, together at the rate that was asked for. */
async function replayAll(
  io: CliIo,
  flags: ReplayFlags,
  stores: Stores,
  plan: Plan,
  fixes: readonly Fix[],
): Promise<Done> {
  const total = createSum();
  const options = optionsOf(io, flags, stores, fixes);
  const sums = new Map([...plan.limits.keys()].map((store) => [store, createSum()]));
  const answers = await overShards([...plan.limits.keys()], async (store) => {
    const sum = sums.get(store) ?? createSum();
    const limited = { ...flags, limit: plan.limits.get(store) ?? 0 };
    try {
      for await (const chunk of chunksOf(store, limited)) {
        const replayed = await replayDeadLetters(stores, store, chunk, options);
        for (const one of [sum, total]) one.add(replayed);
        if (io.signal.aborted) break;
      }
    } finally {
      // Here, so that a failure of Redis or the database leaves a line of what was done before it.
      const detail = `${auditFilter(stores.config, flags)}${fixedFields(fixes)}: ${sum.text()}`;
      await audit(io, flags, store, 'dlq replay', detail);
    }
  });
  reportUnchanged(io, answers.missing);
  const missing = [...plan.missing, ...answers.missing];
  // Also of the shards that failed later: what was done there before.
  const done = [...sums].map(([store, value]) => ({ store, value }));
  const shards = shardsJson(stores.config, { answered: done, missing }, (sum) => sum.result());
  const isWhole = total.isAllStored() && !io.signal.aborted;
  return {
    result: { ...total.result(), ...shards },
    text: total.text() + shardLines(done, (sum) => sum.text()),
    exit: isWhole ? exitOf(missing) : cliExits.failed,
  };
}

/** The names of the fields that were changed, for the audit; their values may be personal data. */
function fixedFields(fixes: readonly Fix[]): string {
  return fixes.map(({ path }) => ` fix=${path.join('.')}`).join('');
}

/** What a replay would send, for the question to the operator. */
interface Plan {
  readonly deadLetters: number;
  readonly entries: string;
  readonly devices: string;
  /** How many of each stream's oldest dead letters to read; the oldest of all are within --limit. */
  readonly limits: ReadonlyMap<StreamStore, number>;
  readonly missing: readonly Missing[];
}

async function planReplay({ config, streams }: Stores, flags: ReplayFlags): Promise<Plan> {
  const entries = new Set<string>();
  const devices = new Set<string>();
  const limits = new Map<StreamStore, number>();
  if (config.shards === null) for (const store of streams) limits.set(store, flags.limit);
  const missing: Missing[] = [];
  let deadLetters = 0;
  for await (const found of matching(streams, flags, 'oldest_first', missing)) {
    const { store, deadLetter } = found;
    if (config.shards !== null) limits.set(store, (limits.get(store) ?? 0) + 1);
    if (deadLetter.kind !== 'dead_letter' || replayProblem(deadLetter) !== null) continue;
    deadLetters += 1;
    entries.add(shownId(store, deadLetter.entryId));
    devices.add(deviceOf(deadLetter) ?? 'unknown');
  }
  const whole = without(streams, missing).filter((store) => limits.has(store));
  return {
    deadLetters,
    entries: entries.size === 1 ? '1 entry' : `${entries.size} entries`,
    devices: devices.size === 1 ? '1 device' : `${devices.size} devices`,
    limits: new Map(whole.map((store) => [store, limits.get(store) ?? 0])),
    missing: untouched(missing),
  };
}

/**
 * Groups dead letters by entry, in chunks; shape 1 has several dead letters of one entry in a row.
 * Two entries may have had one id, before and after a failover.
 */
async function* chunksOf(
  store: StreamStore,
  flags: ReplayFlags,
): AsyncGenerator<DeadLettersOfEntry[]> {
  let groups: { deadLetters: StoredDeadLetter[] }[] = [];
  for await (const deadLetter of matchingIn(store, flags, 'oldest_first')) {
    if (deadLetter.kind === 'malformed') continue;
    const last = groups.at(-1);
    const first = last?.deadLetters[0];
    const isSameEntry =
      first?.entryId === deadLetter.entryId && first.fieldsSha256 === deadLetter.fieldsSha256;
    if (isSameEntry) {
      last?.deadLetters.push(deadLetter);
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

function optionsOf(
  io: CliIo,
  flags: ReplayFlags,
  { config }: Stores,
  fixes: readonly Fix[],
): ReplayOptions {
  return {
    fixes,
    pace: createPace(flags.rate, io.signal),
    timeoutMs: flags.timeout * 1000,
    signal: io.signal,
    interpret: createInterpret(config.validation, Date.now),
  };
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
