import type { Command } from 'commander';
import { asDependencyError } from '../db/errors.ts';
import { refuseReadOnly } from '../db/ground.ts';
import { withClient } from '../db/migrator.ts';
import {
  applyRetention,
  countOldRows,
  planRetention,
  type RetentionPlan,
} from '../db/retention.ts';
import { noteChange } from './audit.ts';
import { type ChangeFlags, makeChange } from './change.ts';
import { type CliExit, type CliIo, cliExits } from './io.ts';
import { changeExits, changing, cliIo, type SetExitCode } from './options.ts';
import { type Stores, silent, withStores } from './stores.ts';

/** Registers `processor retention`. */
export function register(command: Command, setExitCode: SetExitCode): void {
  changing(command)
    .addHelpText('after', changeExits)
    .action(async (flags: ChangeFlags) => setExitCode(await runRetention(cliIo(), flags)));
}

/**
 * `processor retention`: drops what is older than RETENTION, where the server has no policy that
 * does it: TimescaleDB's Apache edition, and plain tables. Does no harm beside a policy.
 */
export function runRetention(io: CliIo, flags: ChangeFlags): Promise<CliExit> {
  return withStores(io, async (stores) => {
    const { retentionMs, ...db } = stores.config.database;
    if (retentionMs === null) {
      io.stderr.write('processor: RETENTION is off: nothing is ever dropped\n');
      return cliExits.refused;
    }
    try {
      return await withClient({ ...db, url: db.migrationUrl }, silent, async (client) => {
        await refuseReadOnly(client);
        const plan = await planRetention(client, retentionMs);
        const size =
          plan.kind === 'chunks' ? plan.chunks.length : await countOldRows(client, plan, io.signal);
        return await dropOld(io, flags, stores, plan, size, () =>
          applyRetention(client, plan, io.signal),
        );
      });
    } catch (error) {
      throw asDependencyError(error);
    }
  });
}

function dropOld(
  io: CliIo,
  flags: ChangeFlags,
  stores: Stores,
  plan: RetentionPlan,
  size: number,
  apply: () => Promise<number | null>,
): Promise<CliExit> {
  const cutoff = plan.cutoff.toISOString();
  const old = `${plan.kind} older than ${cutoff}`;
  const result = { kind: plan.kind, cutoff, found: size };
  return makeChange(io, flags, {
    what: `drop ${size} ${old} for good`,
    planned: { dropped: 0, ...result },
    isEmpty: size === 0,
    async carryOut() {
      const dropped = size === 0 ? 0 : await apply();
      if (dropped === null) {
        io.stderr.write('processor: another retention run is at work; nothing was done\n');
        return cliExits.refused;
      }
      const done = { result: { dropped, ...result }, text: `dropped ${dropped} ${old}` };
      if (dropped === 0) return done;
      return {
        ...done,
        audit: () => noteChange(io, flags, stores, 'retention', `${dropped} ${old}`),
      };
    },
  });
}
