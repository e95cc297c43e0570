/** A TimescaleDB for the tests of the hypertable, whatever the machine has. */
import { beforeAll, describe } from 'vitest';
import { type PgliteServer, startLimitMs, startPglite } from '../../tools/servers/pglite.ts';
import { type FreshDatabase, freshDatabase, hasTimescaledb } from './database.ts';

/** Makes an empty database; each test drops its own before the next one starts. */
export type Fresh = () => Promise<FreshDatabase>;

/** One for each test file, for vitest gives each file a process of its own. */
let started: Promise<PgliteServer> | null = null;

function pglite(): Promise<PgliteServer> {
  started ??= startPglite();
  return started;
}

/** On PGlite the extension is in the database already. */
const freshHypertable: Fresh = async () => {
  if (hasTimescaledb()) return await freshDatabase();
  const { url, empty } = await pglite();
  return { url, drop: empty };
};

/**
 * `describe` on the suite's server where it offers TimescaleDB, else on PGlite: there nothing runs
 * by itself, and the connections of a test take turns (see pglite.ts).
 */
export function describeHypertable(name: string, suite: (fresh: Fresh) => void): void {
  const where = hasTimescaledb() ? 'TimescaleDB' : 'TimescaleDB in PGlite';
  describe(`${name}, on ${where}`, () => {
    // Before the tests, so that the first one's limit does not pay for the start.
    beforeAll(async () => {
      if (!hasTimescaledb()) await pglite();
    }, startLimitMs);
    suite(freshHypertable);
  });
}

/** The same, and also on a plain table where the suite's server makes one. */
export function describeEachTable(
  name: string,
  suite: (fresh: Fresh, kind: 'plain table' | 'hypertable') => void,
): void {
  if (!hasTimescaledb())
    describe(`${name}, on a plain table`, () => suite(freshDatabase, 'plain table'));
  describeHypertable(name, (fresh) => suite(fresh, 'hypertable'));
}
