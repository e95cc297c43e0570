import type pg from 'pg';
import { serversOf } from '../../db/servers.ts';
import { durationText, plural } from '../format.ts';
import { type Check, failure, ok, warning } from './check.ts';

interface Replication {
  readonly standby: boolean;
  /** As this session has it. */
  readonly commit: string;
  readonly names: string;
  /** Connections that take the WAL; a role without pg_read_all_stats sees no more than their number. */
  readonly connected: number;
  readonly lag_ms: number | null;
}

const statement = `
  SELECT pg_catalog.pg_is_in_recovery() AS standby,
         pg_catalog.current_setting('synchronous_commit') AS commit,
         pg_catalog.current_setting('synchronous_standby_names') AS names,
         count(*)::int AS connected,
         (extract(epoch FROM max(replay_lag)) * 1000)::float8 AS lag_ms
    FROM pg_catalog.pg_stat_replication`;

const promise = 'a promoted standby may lack rows whose entries were acknowledged';
const afterwards = 'or run processor verify --resend after a promotion (OPERATIONS.md)';

/**
 * Whether a commit waits for a standby, which keeps the promise of stored rows over a promotion.
 * Nothing at a standby, and where one server is named and none replicates from it.
 */
export async function replicationChecks(client: pg.ClientBase, url: string): Promise<Check[]> {
  const { rows } = await client.query<Replication>(statement);
  const [found] = rows;
  if (found === undefined || found.standby) return [];
  const { names, connected, lag_ms } = found;
  const isPair = serversOf(url).urls.length > 1;
  if (!isPair && names === '' && connected === 0) return [];
  const standbys = plural(connected, 'standby connected', 'standbys connected');
  const lag = lag_ms === null ? '' : `, replay lag ${durationText(lag_ms)}`;
  return [judge(found, isPair, `${standbys}${lag}`)];
}

function judge({ commit, names, connected }: Replication, isPair: boolean, text: string): Check {
  const name = 'replication';
  if (names === '') {
    const advice = `asynchronous, so ${promise}: set synchronous_standby_names, ${afterwards}`;
    return (isPair ? warning : ok)(name, `${text}, ${advice}`);
  }
  if (commit === 'local' || commit === 'remote_write') {
    const advice = `synchronous_commit is ${commit}, so ${promise}: RESET it for the role and the database`;
    return warning(name, `${text}, ${advice}`);
  }
  if (connected === 0) {
    const advice = `${names} is synchronous, and every commit waits for it: start the standby, or change synchronous_standby_names`;
    return failure(name, `${text}, ${advice}`);
  }
  return ok(name, `${text}, ${names} is synchronous, synchronous_commit ${commit}`);
}
