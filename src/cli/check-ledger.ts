import type { Ledger } from '../simulator/ledger.ts';
import { createLedger } from '../simulator/ledger.ts';
import { checkLedger, formatCheck, isClean, type LedgerCheck } from '../simulator/ledger-check.ts';
import { readLedger } from '../simulator/ledger-file.ts';
import { createLedgerSource } from '../simulator/ledger-source.ts';
import { type CliIo, cliExits, type OutputFlags, print } from './io.ts';
import { type Stores, withStores } from './stores.ts';

export interface CheckLedgerFlags extends OutputFlags {
  readonly files: readonly string[];
  /** Dead letters with this id and before are not compared; null compares all. */
  readonly lettersAfter: string | null;
}

/** As other commands' codes; 4: what was sent and what is stored differ. */
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
    const check = await compare(stores, ledger, flags.lettersAfter);
    const { problems } = check;
    print(io, flags, check, [formatCheck(check), ...problems].join('\n'));
    return isClean(check) ? checkLedgerExits.ok : checkLedgerExits.different;
  });
}

async function compare(
  { config, redis, database }: Stores,
  ledger: Ledger,
  lettersAfter: string | null,
): Promise<LedgerCheck> {
  const source = createLedgerSource({
    database: {
      query: (statement) => database().use((client) => client.query(statement)),
    },
    redis: await redis(),
    deadLetterKey: config.stream.deadLetterKey,
    lettersAfter,
  });
  return await checkLedger(ledger, source);
}
