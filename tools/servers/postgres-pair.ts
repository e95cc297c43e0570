/**
 * A PostgreSQL primary with a streaming standby, both real and local. The npm package has no
 * pg_basebackup: a standby is a copy of the primary's data directory, made between
 * pg_backup_start and pg_backup_stop.
 */
import { execFile } from 'node:child_process';
import { chmod, chown, copyFile, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { Client } from 'pg';
import { askPostgres, untilAnswered } from './ask.ts';
import { freePort } from './ports.ts';
import { type LocalServer, startPostgres } from './servers.ts';
import { temporaryPrefix, unprivilegedUser } from './system-user.ts';

const run = promisify(execFile);
const limitMs = 120_000;
/** The process of a test that sends a load answers late. */
const connectMs = 20_000;
const copyAttempts = 5;

/** The names under which the servers replicate, as synchronous_standby_names has them. */
type MemberName = 'one' | 'two';

export interface PairMember {
  readonly name: MemberName;
  readonly server: LocalServer;
}

export interface PostgresPair {
  /** The primary at the start. */
  readonly one: PairMember;
  /** The standby at the start. */
  readonly two: PairMember;
  /** Where both servers have their Unix sockets. */
  readonly socketFolder: string;
  /** One URL with these members, in this order. */
  url(database: string, ...order: readonly PairMember[]): string;
  /** Waits for the end of recovery. The new primary waits for no standby until `synchronous`. */
  promote(member: PairMember): Promise<void>;
  /** Restarts a primary as a standby, in order, with the data that it has. */
  demote(member: PairMember): Promise<void>;
  /** Ends the member if it runs, and makes it a standby with a fresh copy of the other. */
  rejoin(member: PairMember): Promise<void>;
  /** Waits until the other has replayed all that this primary has written. */
  untilReplayed(primary: PairMember): Promise<void>;
  /** Lets each commit on this primary wait for the other, or no longer. */
  synchronous(primary: PairMember, on: boolean): Promise<void>;
  /** Safe twice. */
  stop(): Promise<void>;
}

/** Starts both; the standby streams when this resolves. @throws ServerError */
export async function startPostgresPair(): Promise<PostgresPair> {
  await using cleanup = new AsyncDisposableStack();
  const folder = await mkdtemp(temporaryPrefix('pair'));
  cleanup.defer(() => rm(folder, { recursive: true, force: true }));
  await giveToServer(folder);
  await chmod(folder, 0o755);
  const ports = { one: await freePort(), two: await freePort() };
  const dirOf = (name: MemberName) => join(folder, name);
  const passFile = join(folder, 'pass');
  async function start(name: MemberName): Promise<PairMember> {
    const primary = ports[name === 'one' ? 'two' : 'one'];
    const login = `host=127.0.0.1 port=${primary} user=postgres passfile=${passFile}`;
    const settings = {
      ...pairSettings,
      unix_socket_directories: folder,
      primary_conninfo: `${login} application_name=${name}`,
    };
    const server = await startPostgres({ dir: dirOf(name), port: ports[name], settings });
    cleanup.defer(() => server.stop());
    return { name, server };
  }
  const one = await start('one');
  const { password } = new URL(one.server.url);
  await writeOwn(passFile, `127.0.0.1:*:*:postgres:${password}\n`);
  await mkdir(dirOf('two'));
  await copyFile(join(dirOf('one'), 'password'), join(dirOf('two'), 'password'));
  await makeStandby(one.server.url, join(dirOf('two'), 'data'));
  const two = await start('two');
  await untilStreaming(one.server.url);
  const owned = cleanup.move();
  const otherThan = ({ name }: PairMember) => (name === 'one' ? two : one);
  return {
    one,
    two,
    socketFolder: folder,
    url(database, ...order) {
      const hosts = order.map(({ server }) => `127.0.0.1:${server.port}`).join(',');
      return `postgres://postgres:${password}@${hosts}/${database}`;
    },
    async promote({ server }) {
      await ask(server.url, 'SELECT pg_promote(true, 30) WHERE pg_is_in_recovery()');
      await setSynchronous(server.url, '');
    },
    async demote({ name, server }) {
      await writeOwn(join(dirOf(name), 'data', 'standby.signal'), '');
      await server.restart();
    },
    async rejoin(member) {
      const primary = otherThan(member).server.url;
      const data = join(dirOf(member.name), 'data');
      // Also ends one that hangs; the data goes anyway.
      await member.server.kill('SIGKILL');
      await rm(data, { recursive: true, force: true });
      await makeStandby(primary, data);
      await member.server.restart();
      await untilStreaming(primary);
    },
    untilReplayed: (primary) => untilReplayed(primary.server.url, otherThan(primary).server.url),
    async synchronous(primary, on) {
      await setSynchronous(primary.server.url, on ? `ANY 1 (${otherThan(primary).name})` : '');
    },
    stop: () => owned.disposeAsync(),
  };
}

/** Waits until the setting is effective, and with names until a standby counts. */
async function setSynchronous(primaryUrl: string, names: string): Promise<void> {
  await ask(primaryUrl, `ALTER SYSTEM SET synchronous_standby_names = '${names}'`);
  await ask(primaryUrl, 'SELECT pg_reload_conf()');
  const counts = names === '' ? "current_setting('synchronous_standby_names') = ''" : quorum;
  await untilTrue('synchronous_standby_names is effective', primaryUrl, `SELECT ${counts} AS is`);
}

const quorum = "EXISTS (SELECT FROM pg_stat_replication WHERE sync_state = 'quorum')";

const pairSettings = {
  // A commit waits for a synchronous standby; without fsync only a power failure loses it.
  synchronous_commit: 'on',
  // For a standby that was away; a slot would belong to one primary only.
  wal_keep_size: '512MB',
} as const;

/** Writes a file that only the servers' user may read. */
async function writeOwn(path: string, text: string): Promise<void> {
  await writeFile(path, text, { mode: 0o600 });
  await giveToServer(path);
}

async function giveToServer(path: string): Promise<void> {
  const user = unprivilegedUser();
  if (user !== null) await chown(path, user.uid, user.gid);
}

/** Copies the data directory of a running primary and makes the copy a standby. */
async function makeStandby(primaryUrl: string, data: string): Promise<void> {
  const client = new Client({ connectionString: primaryUrl });
  await client.connect();
  try {
    const { rows } = await client.query<{ source: string }>(
      "SELECT current_setting('data_directory') AS source, pg_backup_start('pair', true)",
    );
    await copyLive(rows[0]?.source ?? '', data);
    const stopped = await client.query<{ labelfile: string }>(
      'SELECT labelfile FROM pg_backup_stop(false)',
    );
    await writeOwn(join(data, 'backup_label'), stopped.rows[0]?.labelfile ?? '');
  } finally {
    await client.end();
  }
  for (const name of ['postmaster.pid', 'postmaster.opts']) await rm(join(data, name));
  await writeOwn(join(data, 'standby.signal'), '');
}

/** cp keeps the owner, and reports files that the server removed meanwhile; another attempt helps. */
async function copyLive(source: string, target: string): Promise<void> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      await run('cp', ['-a', `${source}/.`, target]);
      return;
    } catch (error) {
      if (attempt === copyAttempts) throw error;
      await rm(target, { recursive: true, force: true });
    }
  }
}

function untilStreaming(primaryUrl: string): Promise<unknown> {
  return untilTrue('the standby streams', primaryUrl, streaming);
}

const streaming = "SELECT count(*) > 0 AS is FROM pg_stat_replication WHERE state = 'streaming'";

async function untilReplayed(primaryUrl: string, standbyUrl: string): Promise<void> {
  const row = await ask<{ lsn: string }>(primaryUrl, 'SELECT pg_current_wal_lsn() AS lsn');
  const replayed = `SELECT pg_last_wal_replay_lsn() >= '${row?.lsn}'::pg_lsn AS is`;
  await untilTrue('the standby has replayed', standbyUrl, replayed);
}

/** Asks again where a busy machine does not let a connection begin in time. */
function ask<Row extends object>(url: string, statement: string): Promise<Row | undefined> {
  const once = () => askPostgres<Row>(url, statement, connectMs);
  return untilAnswered('a server of the pair', once, limitMs);
}

async function untilTrue(what: string, url: string, statement: string): Promise<void> {
  const check = async () => {
    const row = await askPostgres<{ is: boolean }>(url, statement, connectMs);
    if (row?.is !== true) throw new Error('not yet');
  };
  await untilAnswered(what, check, limitMs);
}
