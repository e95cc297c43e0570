import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import pg from 'pg';
import { type LocalServer, startLocal } from './local-server.ts';
import { freePort } from './ports.ts';
import { findProgram } from './programs.ts';
import { ServerError } from './server-error.ts';
import { unprivilegedUser } from './system-user.ts';

/** What a test that needs it is skipped with. */
export const needsPooler = 'needs pgbouncer (Debian package pgbouncer)';

export function hasPooler(): boolean {
  return findProgram('pgbouncer') !== null;
}

/** Server connections of the pool: fewer than the clients, so that they are really shared. */
const poolSize = 4;

/**
 * Starts a PgBouncer in transaction pooling mode in front of the server of this URL.
 * @throws ServerError `no_program`, `start_failed`
 */
export async function startPooler(target: string): Promise<LocalServer> {
  const command = findProgram('pgbouncer');
  if (command === null) throw new ServerError('no_program', needsPooler);
  const { hostname, port: targetPort, username, password, pathname } = new URL(target);
  const user = decodeURIComponent(username);
  const login = password === '' ? '' : ` password='${decodeURIComponent(password)}'`;
  const port = await freePort();
  return await startLocal({
    name: 'pgbouncer',
    dir: undefined,
    port,
    user: unprivilegedUser(),
    endSignal: 'SIGINT',
    lastSignal: 'SIGKILL',
    async prepare(_guard, dir) {
      const config = join(dir, 'pgbouncer.ini');
      const lines = [
        '[databases]',
        `* = host=${hostname} port=${targetPort || 5432} user=${user}${login}`,
        '[pgbouncer]',
        'listen_addr = 127.0.0.1',
        `listen_port = ${port}`,
        'unix_socket_dir =',
        'auth_type = any',
        'pool_mode = transaction',
        `default_pool_size = ${poolSize}`,
        'server_round_robin = 1',
      ];
      await writeFile(config, lines.join('\n'), { mode: 0o644 });
      return {
        launch: () => ({ command, args: [config] }),
        url: () => `postgres://${username}@127.0.0.1:${port}${pathname}`,
        async check(url) {
          const client = new pg.Client(url);
          await client.connect();
          await client.end();
        },
      };
    },
  });
}
