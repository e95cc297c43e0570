import { randomBytes } from 'node:crypto';
import { chown, mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { askPostgres } from './ask.ts';
import type { SystemUser } from './guard-protocol.ts';
import type { Guard } from './guarded.ts';
import { type LocalServer, logTail, serverLog, startLocal } from './local-server.ts';
import { locatePostgres, type PostgresPrograms } from './postgres-programs.ts';
import { ServerError } from './server-error.ts';
import { unprivilegedUser } from './system-user.ts';

export interface PostgresOptions {
  /**
   * 'test' trades the safety of the data for speed: a kill -9 loses what was committed in the last
   * second. 'real' has PostgreSQL's own defaults, and is for fault tests, demo and benchmark.
   */
  readonly durability?: 'test' | 'real';
  readonly port?: number;
  /** Kept when the server stops; by default a fresh folder that is removed. */
  readonly dir?: string;
  /** Settings of postgresql.conf by name; they win over ours. */
  readonly settings?: Readonly<Record<string, string>>;
  /** Program and arguments that run the server, for example valgrind; by default it runs itself. */
  readonly under?: readonly string[];
}

/** The settings for a local process and for a container. */
export function postgresSettings(
  durability: 'test' | 'real',
  timescaledb: boolean,
): Readonly<Record<string, string>> {
  const { TEST_TIMESCALEDB_LICENSE: license } = process.env;
  return {
    shared_buffers: '128MB',
    ...(durability === 'test' && {
      fsync: 'off',
      synchronous_commit: 'off',
      full_page_writes: 'off',
    }),
    ...(timescaledb && {
      shared_preload_libraries: 'timescaledb',
      'timescaledb.telemetry_level': 'off',
      ...(license && { 'timescaledb.license': license }),
    }),
  };
}

export function settingArgs(settings: Readonly<Record<string, string>>): readonly string[] {
  return Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`]);
}

/**
 * Starts a PostgreSQL of its own on 127.0.0.1: superuser `postgres` with a generated password,
 * encoding UTF8, locale C. With TimescaleDB where the installation has it (TEST_POSTGRES_BIN
 * chooses the installation).
 * @throws ServerError `no_program`, `start_failed`
 */
export async function startPostgres(options: PostgresOptions = {}): Promise<LocalServer> {
  const { durability = 'test' } = options;
  const user = unprivilegedUser();
  const programs = await locatePostgres(user);
  return await startLocal({
    name: 'postgres',
    dir: options.dir,
    port: options.port,
    user,
    isDiscarded: durability === 'test' && options.dir === undefined,
    endSignal: 'SIGINT',
    // An immediate shutdown: unlike kill -9 it gives shared memory back.
    lastSignal: 'SIGQUIT',
    async prepare(guard, dir) {
      const data = join(dir, 'data');
      const password = await makeCluster(guard, dir, data, programs, user);
      const fixed = settingArgs({
        listen_addresses: '127.0.0.1',
        unix_socket_directories: '',
        // Files in the data directory instead of /dev/shm, so that a kill -9 leaves nothing.
        ...(durability === 'test' && { dynamic_shared_memory_type: 'mmap' }),
        ...postgresSettings(durability, programs.timescaledb),
        ...options.settings,
      });
      const [command = programs.postgres, ...before] = [
        ...(options.under ?? []),
        programs.postgres,
      ];
      return {
        launch: (port) => ({
          command,
          args: [...before, '-D', data, '-p', String(port), ...fixed],
        }),
        url: (port) => `postgres://postgres:${password}@127.0.0.1:${port}/postgres`,
        async check(url) {
          const row = await askPostgres<{ data: string }>(
            url,
            `SELECT current_setting('data_directory') AS data`,
          );
          if (row?.data !== data) throw new Error('another PostgreSQL answers at this port');
        },
        postmasterPid: join(data, 'postmaster.pid'),
      };
    },
  });
}

/** Runs initdb, unless `dir` holds a cluster of an earlier start; returns the password. */
async function makeCluster(
  guard: Guard,
  dir: string,
  data: string,
  programs: PostgresPrograms,
  user: SystemUser | null,
): Promise<string> {
  const passwordFile = join(dir, 'password');
  const existing = await textOf(passwordFile);
  if (existing !== null && (await textOf(join(data, 'PG_VERSION'))) !== null) return existing;

  const password = randomBytes(16).toString('hex');
  await mkdir(dir, { recursive: true });
  await writeFile(passwordFile, password, { mode: 0o600 });
  if (user !== null) {
    await chown(dir, user.uid, user.gid);
    await chown(passwordFile, user.uid, user.gid);
  }
  const initdb = await guard.run({
    command: programs.initdb,
    args: [
      '-D',
      data,
      '--username=postgres',
      `--pwfile=${passwordFile}`,
      '--auth=scram-sha-256',
      // Nothing here has to survive a power failure before the server's first checkpoint.
      '--locale=C',
      '--encoding=UTF8',
      '--no-sync',
      '--no-instructions',
    ],
    cwd: dir,
    log: serverLog(dir),
    user,
    lastSignal: 'SIGTERM',
    postmasterPid: null,
  });
  const { code, signal } = await initdb.ended;
  if (code === 0) return password;
  const tail = await logTail(serverLog(dir));
  throw new ServerError('start_failed', `initdb ended with ${code ?? signal}; its log: ${tail}`);
}

async function textOf(path: string): Promise<string | null> {
  try {
    return await readFile(path, 'utf8');
  } catch {
    return null;
  }
}
