import { spawnSync } from 'node:child_process';
import { chownSync, mkdtempSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import pg from 'pg';
import { migrate, readMigrations } from '../../src/db/migrator.ts';
import { locatePostgres } from '../../tools/servers/postgres-programs.ts';
import { findProgram } from '../../tools/servers/programs.ts';
import { startPostgres } from '../../tools/servers/servers.ts';
import { temporaryPrefix, unprivilegedUser } from '../../tools/servers/system-user.ts';
import type { Figures } from '../figures.ts';

const batchRows = 5_000;
const deviceCounts = [5_000, 500] as const;
const quiet = { debug() {}, info() {}, warn() {}, error() {} };
/** The function of PostgreSQL that fires triggers of a statement: only what happens in it is counted. */
const triggers = 'AfterTriggerEndQuery';
const createTrigger =
  'CREATE TRIGGER note_outbox AFTER INSERT ON public.positions REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION positions.note_outbox()';

/**
 * Instructions that the outbox's trigger adds to a row, which do not depend on what else the machine
 * does: a server of its own under callgrind, in single-user mode.
 * Nothing is noted where valgrind is not installed.
 */
export async function triggerInstructions(figures: Figures): Promise<void> {
  const valgrind = findProgram('valgrind');
  if (valgrind === null) {
    process.stderr.write('no valgrind: instructions of the trigger are left out\n');
    return;
  }
  const dir = mkdtempSync(temporaryPrefix('callgrind'));
  try {
    const user = unprivilegedUser();
    if (user !== null) chownSync(dir, user.uid, user.gid);
    await makeCluster(dir);
    const { postgres } = await locatePostgres(user);
    const run = { valgrind, postgres, dir, user };
    for (const devices of deviceCounts) {
      // The first batch of all adds the devices to their list.
      instructionsOf(run, [insert(devices, hour++)]);
      const off = perRow(run, devices, '');
      const on = perRow(run, devices, createTrigger);
      figures.note(`domain_trigger_${devices}_devices_instructions`, on - off);
    }
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
}

/** A migrated cluster without the trigger, stopped. */
async function makeCluster(dir: string): Promise<void> {
  const server = await startPostgres({ dir, durability: 'real' });
  try {
    const limits = { connectTimeoutMs: 5000, lockTimeoutMs: 5000, migrationLockTimeoutMs: 5000 };
    const storage = { timescaledb: 'optional', chunkIntervalMs: 86_400_000 } as const;
    const policies = { columnstoreAfterMs: null, retentionMs: null, aggregates: false };
    const domain = { enabled: false, recomputeHorizonMs: 0 };
    await migrate(
      await readMigrations(new URL('../../migrations/', import.meta.url)),
      { url: server.url, tls: null, mode: 'auto', ...limits, ...storage, ...policies, domain },
      quiet,
    );
    const client = new pg.Client(server.url);
    await client.connect();
    await client.query('VACUUM ANALYZE');
    await client.end();
  } finally {
    await server.stop();
  }
}

interface Run {
  readonly valgrind: string;
  readonly postgres: string;
  readonly dir: string;
  readonly user: { readonly uid: number; readonly gid: number } | null;
}

/** Batches of one day, because the first one of a day also notes the day of each device. */
let hour = 0;

/** The difference of three batches and one, so that start, plan and trigger itself do not count. */
function perRow(run: Run, devices: number, setUp: string): number {
  const [one, three] = [1, 3].map((batches) => {
    const statements = [setUp, ...Array.from({ length: batches }, () => insert(devices, hour++))];
    const undo = setUp === '' ? '' : 'DROP TRIGGER note_outbox ON public.positions';
    return instructionsOf(
      run,
      [...statements, undo].filter((text) => text !== ''),
    );
  });
  return ((three ?? 0) - (one ?? 0)) / (2 * batchRows);
}

/** One batch in an hour of its own, as the writer inserts it; single-user mode takes one line each. */
function insert(devices: number, number: number): string {
  const each = batchRows / devices;
  return `INSERT INTO public.positions (device_id, ts, latitude, longitude, altitude, angle, speed, satellites, priority, fix, codec, attributes) SELECT (350000000000000 + at / ${each})::text, timestamptz '2026-09-01T00:00:00Z' + interval '1 hour' * ${number} + interval '10 s' * (at % ${each}), 54, 25, 100, 90, 50, 9, 0, true, '8E', '{"239":1,"240":1,"66":13000}' FROM generate_series(0, ${batchRows - 1}) AS at ON CONFLICT DO NOTHING`;
}

function instructionsOf({ valgrind, postgres, dir, user }: Run, statements: readonly string[]) {
  const out = join(dir, 'callgrind.out');
  const server = [
    '--single',
    '-D',
    join(dir, 'data'),
    '-c',
    'dynamic_shared_memory_type=mmap',
    '-c',
    'jit=off',
  ];
  const found = spawnSync(
    valgrind,
    [
      '--tool=callgrind',
      `--callgrind-out-file=${out}`,
      `--toggle-collect=${triggers}`,
      postgres,
      ...server,
      'postgres',
    ],
    {
      input: `${statements.join('\n')}\n`,
      encoding: 'utf8',
      cwd: dir,
      maxBuffer: 1e9,
      ...(user === null ? {} : { uid: user.uid, gid: user.gid }),
    },
  );
  const count = /Collected : (\d+)/.exec(found.stderr)?.[1];
  if (found.status !== 0 || count === undefined || /ERROR:/.test(found.stderr)) {
    throw new Error(`callgrind: ${found.stderr.slice(-2_000)}`);
  }
  return Number(count);
}
