import type { Config } from '../../config/load.ts';
import { asDependencyError } from '../../db/errors.ts';
import { askServer } from '../../db/primary.ts';
import { placeOf, serversOf } from '../../db/servers.ts';
import { bytesText } from '../format.ts';
import { type Check, failure, ok, warning } from './check.ts';

/** What a server of the list answers. */
type Found = { readonly place: string } & (
  | { readonly state: 'primary' | 'standby'; readonly isReadOnly: boolean; readonly lsn: bigint }
  | { readonly state: 'away'; readonly message: string }
);

/**
 * Which server of a list of hosts is the primary, and whether the others could take over. Nothing
 * for a URL of one host, whose role is checked with the database.
 */
export async function checkServers({ database }: Pick<Config, 'database'>): Promise<Check[]> {
  const { urls } = serversOf(database.url);
  if (urls.length === 1) return [];
  const found = await Promise.all(urls.map((url) => askOne(url, database)));
  return [judge(found)];
}

async function askOne(url: string, { tls, connectTimeoutMs }: Config['database']): Promise<Found> {
  const place = placeOf(url);
  const login = { tls, connectTimeoutMs, applicationName: 'processor:cli' };
  try {
    return await askServer(url, login, async (client) => {
      const { rows } = await client.query<{ standby: boolean; readonly: string; lsn: string }>(
        `SELECT pg_catalog.pg_is_in_recovery() AS standby,
                pg_catalog.current_setting('default_transaction_read_only') AS readonly,
                CASE WHEN pg_catalog.pg_is_in_recovery() THEN pg_catalog.pg_last_wal_replay_lsn()
                     ELSE pg_catalog.pg_current_wal_lsn() END::text AS lsn`,
      );
      const [row] = rows;
      const state = row?.standby === false ? 'primary' : 'standby';
      return { place, state, isReadOnly: row?.readonly === 'on', lsn: positionOf(row?.lsn) };
    });
  } catch (error) {
    return { place, state: 'away', message: asDependencyError(error).message };
  }
}

/** A position in the WAL, `16/B374D848`, as a number of bytes. */
function positionOf(lsn: string | null | undefined): bigint {
  const [high = '', low = ''] = (lsn ?? '0/0').split('/');
  return (BigInt(`0x${high}`) << 32n) + BigInt(`0x${low}`);
}

function judge(found: readonly Found[]): Check {
  const name = 'postgresql servers';
  const primaries = found.filter(({ state }) => state === 'primary');
  const [primary] = primaries;
  const text = found.map((one) => describe(one, primary)).join(', ');
  if (primary === undefined) {
    return failure(
      name,
      `${text}: no server takes writes: promote a standby, or start the primary`,
    );
  }
  if (primaries.length > 1) {
    return failure(name, `${text}: more than one takes writes: stop the former primary`);
  }
  const isWhole = found.every(({ state }) => state !== 'away');
  return isWhole ? ok(name, text) : warning(name, `${text}: start it, or it cannot take over`);
}

function describe(one: Found, primary: Found | undefined): string {
  if (one.state === 'away') return `${one.place} does not answer (${one.message})`;
  const readOnly = one.state === 'primary' && one.isReadOnly ? ', read-only' : '';
  const isBehind = one.state === 'standby' && primary?.state === 'primary';
  const behind = isBehind ? `, ${bytesText(lag(primary.lsn, one.lsn))} behind` : '';
  return `${one.place} is ${one.state === 'primary' ? 'the primary' : 'a standby'}${readOnly}${behind}`;
}

/** Zero if the standby was asked later than the primary and is ahead of that answer. */
function lag(primary: bigint, standby: bigint): number {
  return primary > standby ? Number(primary - standby) : 0;
}
