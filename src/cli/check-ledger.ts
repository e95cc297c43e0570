import type { Command } from 'commander';
import {
  areCrossingsClean,
  type CrossingCheck,
  checkCrossings,
  formatCrossings,
} from '../simulator/crossing-check.ts';
import { createCrossingSource } from '../simulator/crossing-source.ts';
import type { Ledger } from '../simulator/ledger.ts';
import { createLedger } from '../simulator/ledger.ts';
import { checkLedger, formatCheck, isClean, type LedgerCheck } from '../simulator/ledger-check.ts';
import { readLedger } from '../simulator/ledger-file.ts';
import { createLedgerSource, joinSources, type Queryable } from '../simulator/ledger-source.ts';
import { type CliIo, cliExits, type OutputFlags, print } from './io.ts';
import { cliIo, type SetExitCode } from './options.ts';
import { type Stores, withStores } from './stores.ts';

interface CheckLedgerOptions {
  readonly lettersAfter?: string | null;
  readonly json: boolean;
}

/** Registers `processor check-ledger`. */
export function register(command: Command, setExitCode: SetExitCode): void {
  command
    .argument('<file...>')
    .option('--letters-after <id>', 'compare only dead letters after this id')
    .option('--json', 'print the result as one JSON line', false)
    .addHelpText(
      'after',
      '\nRun it when every entry is settled and, for a fleet that drove through geofences, when the outbox of the domain is empty. Exit codes: 0 no difference, 1 failed, 4 something differs.',
    )
    .action(async (files: string[], { lettersAfter = null, json }: CheckLedgerOptions) =>
      setExitCode(await runCheckLedger(cliIo(), { files, lettersAfter, json })),
    );
}

export interface CheckLedgerFlags extends OutputFlags {
  readonly files: readonly string[];
  /** Dead letters with this id and before are not compared; null compares all. */
  readonly lettersAfter: string | null;
}

/** The codes of other commands, and 4 when sent and stored records differ. */
export const checkLedgerExits = { ...cliExits, different: 4 } as const;

/** `processor check-ledger`: compares what `simulate` sent with the table and the dead letters. */
export function runCheckLedger(io: CliIo, flags: CheckLedgerFlags): Promise<number> {
  return withStores<number>(io, async (stores) => {
    const ledger = createLedger();
    try {
      for (const file of flags.files) await readLedger(file, ledger);
    } catch (error) {
      io.stderr.write(
        `processor check-ledger: ${error instanceof Error ? error.message : error}\n`,
      );
      return checkLedgerExits.failed;
    }
    const refusal = rulesProblem(ledger, stores.config);
    if (refusal !== null) {
      io.stderr.write(`processor check-ledger: ${refusal}\n`);
      return checkLedgerExits.failed;
    }
    const check = await compare(stores, ledger, flags.lettersAfter);
    const crossings = await compareCrossings(stores, ledger);
    const lines = [formatCheck(check), ...check.problems];
    if (crossings !== null) lines.push(formatCrossings(crossings), ...crossings.problems);
    print(io, flags, crossings === null ? check : { ...check, crossings }, lines.join('\n'));
    const areClean = crossings === null || areCrossingsClean(crossings);
    return isClean(check) && areClean ? checkLedgerExits.ok : checkLedgerExits.different;
  });
}

/** Why the ledger's crossings are not those of this service; null: they are, or there are none. */
function rulesProblem({ crossings }: Ledger, { domain }: Stores['config']): string | null {
  if (crossings === null) return null;
  const { maxHopMs, minSatellites } = crossings.rules;
  if (maxHopMs === domain.maxHopMs && minSatellites === domain.minSatellites) return null;
  return `the ledger expects crossings for DOMAIN_MAX_HOP=${maxHopMs / 1000}s and DOMAIN_MIN_SATELLITES=${minSatellites}; the service must run with these`;
}

/** @returns null when the fleet drove through no geofences */
async function compareCrossings(
  { config, database }: Stores,
  { crossings, devices }: Ledger,
): Promise<CrossingCheck | null> {
  if (crossings === null) return null;
  const queries: Queryable = {
    query: (statement) => database().use((client) => client.query(statement)),
  };
  const source = createCrossingSource(queries, config.domain.timingTable);
  return await checkCrossings(crossings, [...devices.keys()], source);
}

/** A shard that does not answer fails the command: its dead letters would seem to be missing. */
async function compare(
  { streams, database }: Stores,
  ledger: Ledger,
  deadLettersAfter: string | null,
): Promise<LedgerCheck> {
  const queries: Queryable = {
    query: (statement) => database().use((client) => client.query(statement)),
  };
  const sources = streams.map(async ({ stream: { deadLetterKey }, redis }) =>
    createLedgerSource({
      database: queries,
      redis: await redis(),
      deadLetterKey,
      deadLettersAfter,
    }),
  );
  const [first, ...others] = await Promise.all(sources);
  if (first === undefined) throw new RangeError('a configuration has at least one stream');
  return await checkLedger(ledger, joinSources(first, others));
}
