import type { Command } from 'commander';
import { redactUrl } from '../config/load.ts';
import type { Logger } from '../core/types.ts';
import { asDependencyError } from '../db/errors.ts';
import { MigrationError } from '../db/migration-error.ts';
import { type MigrationState, pendingOf, readHistory } from '../db/migration-history.ts';
import { migrationsFolder } from '../db/migrations-folder.ts';
import { type Migration, migrate, readMigrations, withClient } from '../db/migrator.ts';
import { noteChange } from './audit.ts';
import { type ChangeFlags, type Done, makeChange } from './change.ts';
import { type CliExit, type CliIo, cliExits, type OutputFlags, print } from './io.ts';
import { changeExits, changing, cliIo, type SetExitCode } from './options.ts';
import { type Stores, silent, withStores } from './stores.ts';

/** Registers the commands of `processor migrate`. */
export function register(migrate: Command, setExitCode: SetExitCode): void {
  migrate
    .command('status')
    .description('list the migrations: applied, pending, changed, or unknown to this version')
    .option('--json', 'print the result as one JSON line', false)
    .addHelpText('after', '\nExit codes: 0 up to date, 1 not up to date, or failed.')
    .action(async (flags: OutputFlags) => setExitCode(await runMigrateStatus(cliIo(), flags)));
  changing(migrate.command('up'))
    .description('apply pending migrations, and the configured storage, policies and domain')
    .addHelpText('after', changeExits)
    .action(async (flags: ChangeFlags) => setExitCode(await runMigrateUp(cliIo(), flags)));
}

/** `processor migrate status`: what is applied, pending, changed or unknown to this version. */
export function runMigrateStatus(io: CliIo, flags: OutputFlags): Promise<CliExit> {
  return withMigrations(io, async ({ config }, migrations) => {
    const history = await lookUp(config, migrations);
    const rows = history.map(describe);
    const upToDate = history.every(({ state }) => state === 'applied');
    const lines = rows.map(({ state, name, checksum, applied_at }) =>
      [state.padEnd(7), name.padEnd(28), checksum.slice(0, 12), applied_at ?? ''].join('  ').trim(),
    );
    print(io, flags, { up_to_date: upToDate, migrations: rows }, lines.join('\n'));
    return upToDate ? cliExits.ok : cliExits.failed;
  });
}

/** `processor migrate up`: what the service does when it starts, without the service. */
export function runMigrateUp(io: CliIo, flags: ChangeFlags): Promise<CliExit> {
  return withMigrations(io, async (stores, migrations) => {
    const { database: db } = stores.config;
    const pending = pendingOf(await lookUp(stores.config, migrations)).map(({ name }) => name);
    const what = pending.length === 0 ? 'no migration' : pending.join(', ');
    const where = redactUrl(db.migrationUrl);
    return await makeChange(io, flags, {
      what: `apply ${what}, and the configured storage, policies and domain, to ${where}`,
      planned: { pending, applied: [] },
      carryOut: () => apply(io, flags, stores, migrations),
    });
  });
}

async function apply(
  io: CliIo,
  flags: ChangeFlags,
  stores: Stores,
  migrations: readonly Migration[],
): Promise<Done> {
  const { database: db, domain } = stores.config;
  const options = { ...db, url: db.migrationUrl, mode: 'auto', domain } as const;
  const {
    applied,
    policies,
    refusals,
    domain: isOn,
  } = await migrate(migrations, options, toStderr(io));
  for (const { policy, advice } of refusals) io.stderr.write(`processor: ${policy}: ${advice}\n`);
  const text = `applied ${applied.length === 0 ? 'no migration' : applied.join(', ')}`;
  return {
    result: { applied, policies, refusals, domain: isOn },
    text,
    audit: () => noteChange(io, flags, stores, 'migrate up', text),
  };
}

function withMigrations(
  io: CliIo,
  command: (stores: Stores, migrations: readonly Migration[]) => Promise<CliExit>,
): Promise<CliExit> {
  return withStores(io, async (stores) => {
    const migrations = await readMigrations(migrationsFolder);
    try {
      return await command(stores, migrations);
    } catch (error) {
      if (!(error instanceof MigrationError)) throw error;
      io.stderr.write(`processor: ${error.message}\n`);
      return cliExits.failed;
    }
  });
}

async function lookUp(
  { database: db }: Stores['config'],
  migrations: readonly Migration[],
): Promise<MigrationState[]> {
  try {
    return await withClient({ ...db, url: db.migrationUrl }, silent, (client) =>
      readHistory(client, migrations),
    );
  } catch (error) {
    throw asDependencyError(error);
  }
}

function describe(entry: MigrationState) {
  const { state } = entry;
  const { version, name } = state === 'unknown' ? entry : entry.migration;
  const checksum = state === 'unknown' ? entry.appliedChecksum : entry.migration.checksum;
  return {
    state,
    version,
    name,
    checksum,
    applied_checksum: 'appliedChecksum' in entry ? entry.appliedChecksum : null,
    applied_at: 'appliedAt' in entry ? entry.appliedAt.toISOString() : null,
  };
}

/** Reports the wait for a lock once; the command prints the other events of the migrator itself. */
function toStderr(io: CliIo): Logger {
  const reported = new Set<string>();
  return {
    ...silent,
    info(_fields, msg) {
      if (!msg.startsWith('waiting') || reported.has(msg)) return;
      reported.add(msg);
      io.stderr.write(`processor: ${msg}\n`);
    },
  };
}
