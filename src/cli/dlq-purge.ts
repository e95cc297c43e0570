import type { Command } from 'commander';
import { removeEntries } from '../stream/remove-entries.ts';
import { audit } from './audit.ts';
import { type ChangeFlags, makeChange } from './change.ts';
import { auditFilter, filterText, isEmptyFilter } from './dlq/filter.ts';
import { type FilterFlags, matching } from './dlq/matching.ts';
import { filtered, maxDeadLetters } from './dlq/options.ts';
import { type CliExit, type CliIo, cliExits } from './io.ts';
import { changeExits, changing, cliIo, type SetExitCode } from './options.ts';
import { withStores } from './stores.ts';

/** Registers `processor dlq purge`. */
export function register(command: Command, setExitCode: SetExitCode): void {
  changing(filtered(command, maxDeadLetters))
    .description('delete dead letters for good')
    .option('--all', 'all dead letters, without a filter', false)
    .addHelpText('after', changeExits)
    .action(async (flags: ChangeFlags & FilterFlags & { all: boolean }) =>
      setExitCode(await runDlqPurge(cliIo(), flags)),
    );
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
        'processor: select dead letters (--reason, --device …), or purge all of them with --all\n',
      );
      return cliExits.refused;
    }
    const ids: string[] = [];
    for await (const deadLetter of matching(stores, flags, 'oldest_first')) ids.push(deadLetter.id);
    const what = `delete ${ids.length} dead letters for good (${filterText(flags)})`;
    return await makeChange(io, flags, {
      what,
      planned: { letters: ids.length, purged: 0 },
      isEmpty: ids.length === 0,
      async carryOut() {
        const purged = await removeEntries(await stores.redis(), stream.deadLetterKey, ids);
        const detail = `${purged} dead letters: ${auditFilter(stores.config, flags)}`;
        return {
          result: { letters: ids.length, purged },
          text: `${purged} dead letters deleted`,
          audit: () => audit(io, flags, stores, 'dlq purge', detail),
        };
      },
    });
  });
}
