import { migrate } from '../../src/db/migrator.ts';
import { askPostgres } from '../../tools/servers/ask.ts';
import { migrateOptions, migrations, silent } from '../db/migrate-options.ts';

export interface FreshDatabase {
  readonly url: string;
  /** Ends the connections to it as well. Safe twice. */
  drop(): Promise<void>;
}

/** Creates a database of UTF8 and locale C on the server, a copy of the template. */
export async function databaseFrom(
  server: string,
  template: string,
  name: string,
): Promise<FreshDatabase> {
  // Copying the files takes two thirds of the CPU of copying through the WAL.
  await askPostgres(
    server,
    `CREATE DATABASE ${name} TEMPLATE ${template} STRATEGY FILE_COPY
       ENCODING 'UTF8' LC_COLLATE 'C' LC_CTYPE 'C'`,
  );
  const url = new URL(server);
  url.pathname = `/${name}`;
  return {
    url: url.href,
    async drop() {
      await askPostgres(server, `DROP DATABASE IF EXISTS ${name} WITH (FORCE)`);
    },
  };
}

/**
 * Creates the database that tests copy in place of migrating their own. On a server that offers
 * TimescaleDB there is none: its workers connect to the template, which then cannot be copied.
 */
export async function makeMigratedTemplate(server: string, name: string): Promise<void> {
  const template = await databaseFrom(server, 'template0', name);
  await migrate(migrations, migrateOptions(template.url), silent);
}
