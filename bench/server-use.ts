import pg from 'pg';
import { cpuNsOf } from './domain/cost.ts';

/** What the backends of one application waited for, and `running` for what they did not wait for. */
export const bounds = ['running', 'wal', 'disk', 'lock', 'client'] as const;
export type Bound = (typeof bounds)[number];

/** What a load cost the server. */
export interface ServerUse {
  /** CPU of the application's backends a record, microseconds; null where the machine does not tell. */
  readonly serverMicros: number | null;
  /** Bytes of WAL a record. */
  readonly walBytes: number;
  /** Share of the samples in which a backend was in this state; together 1. */
  readonly shares: Readonly<Record<Bound, number>>;
}

const sampleMs = 10;

/** Samples what an application's backends wait for until `end`, from a connection of its own. */
export async function watchServer(url: string, application: string) {
  const client = new pg.Client(url);
  await client.connect();
  const pids: number[] = [];
  const counts = { running: 0, wal: 0, disk: 0, lock: 0, client: 0 };
  const walFrom = await walPosition(client);
  let cpuNs = 0;
  let isEnded = false;

  async function sample(): Promise<void> {
    while (!isEnded) {
      const { rows } = await client.query<{ type: string | null; event: string | null }>(
        `SELECT wait_event_type AS type, wait_event AS event FROM pg_stat_activity
         WHERE application_name = $1 AND pid <> pg_backend_pid()`,
        [application],
      );
      for (const { type, event } of rows) counts[boundOf(type, event)] += 1;
      await new Promise((resolve) => setTimeout(resolve, sampleMs));
    }
  }

  const sampling = sample();
  return {
    /** Adds the backend of this connection to those whose CPU is counted. */
    async backend(backend: pg.ClientBase): Promise<void> {
      const { rows } = await backend.query<{ pid: number }>('SELECT pg_backend_pid() AS pid');
      const pid = rows[0]?.pid ?? 0;
      pids.push(pid);
      cpuNs -= cpuNsOf(pid) ?? Number.NaN;
    },
    async end(records: number): Promise<ServerUse> {
      isEnded = true;
      await sampling;
      for (const pid of pids) cpuNs += cpuNsOf(pid) ?? Number.NaN;
      const walBytes = (await walPosition(client)) - walFrom;
      await client.end();
      const all = bounds.reduce((sum, bound) => sum + counts[bound], 0) || 1;
      return {
        serverMicros: Number.isNaN(cpuNs) ? null : cpuNs / 1000 / records,
        walBytes: walBytes / records,
        shares: {
          running: counts.running / all,
          wal: counts.wal / all,
          disk: counts.disk / all,
          lock: counts.lock / all,
          client: counts.client / all,
        },
      };
    },
  };
}

/** PostgreSQL's wait events (monitoring-stats) in five groups. */
function boundOf(type: string | null, event: string | null): Bound {
  if (type === null) return 'running';
  if (event?.startsWith('WAL') || event?.startsWith('Wal')) return 'wal';
  if (type === 'Client') return 'client';
  return type === 'IO' || type === 'BufferPin' ? 'disk' : 'lock';
}

async function walPosition(client: pg.Client): Promise<number> {
  const { rows } = await client.query<{ bytes: string }>(
    "SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::text AS bytes",
  );
  return Number(rows[0]?.bytes);
}
