import { randomBytes } from 'node:crypto';
import { cp, mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { type GuardedRun, openGuard } from '../tools/servers/guarded.ts';
import { logTail } from '../tools/servers/local-server.ts';
import { freePort } from '../tools/servers/ports.ts';
import { temporaryPrefix } from '../tools/servers/system-user.ts';
import { type Api, directusApi } from './api.ts';
import type { Installation } from './install.ts';

export interface Directus {
  readonly api: Api;
  /** The end of its log. */
  log(): Promise<string>;
  /** Safe twice. */
  stop(): Promise<void>;
}

/** Replaces Directus' default, so it names `spatial_ref_sys` of PostGIS too. */
export const excludedTables = 'spatial_ref_sys,positions,processor_migrations';

const hook = fileURLToPath(new URL('../deploy/sql/directus/websocket', import.meta.url));
const READY_MS = 240_000;
const PAUSE_MS = 200;

/**
 * A Directus of its own with the hook timing-live: bootstraps the database and starts. It ends with
 * this process, however this one ends, and when the signal aborts.
 * @throws with the end of its log when it does not start
 */
export async function startDirectus(
  installation: Installation,
  databaseUrl: string,
  signal: AbortSignal,
): Promise<Directus> {
  const guard = await openGuard(temporaryPrefix('directus'), null);
  // Ends what runs, and with it the waits below.
  signal.addEventListener('abort', () => void guard.close());
  const { folder } = guard;
  const log = join(folder, 'directus.log');
  const port = await freePort();
  const token = randomBytes(24).toString('hex');
  const run = (word: string): Promise<GuardedRun> =>
    guard.run({
      command: installation.node,
      args: [installation.cli, word],
      cwd: folder,
      log,
      user: null,
      lastSignal: 'SIGTERM',
      postmasterPid: null,
    });
  try {
    await prepareFolder(folder, environmentOf({ databaseUrl, port, token, folder }));
    const { code, signal } = await (await run('bootstrap')).ended;
    if (code !== 0) throw new Error(`directus bootstrap ended with ${code ?? signal}`);
    const server = await run('start');
    const api = directusApi(`http://127.0.0.1:${port}`, token);
    await untilReady(api, server);
    return { api, log: () => logTail(log), stop: guard.close };
  } catch (cause) {
    const tail = await logTail(log);
    await guard.close();
    throw new Error(`Directus did not start; its log: ${tail}`, { cause });
  }
}

async function untilReady({ url }: Api, server: GuardedRun): Promise<void> {
  const deadline = performance.now() + READY_MS;
  while (performance.now() < deadline) {
    if (server.hasEnded()) throw new Error('it ended while starting');
    const answer = await fetch(`${url}/server/ping`).catch(() => null);
    if (answer?.ok === true) return;
    await sleep(PAUSE_MS);
  }
  throw new Error(`it did not answer within ${READY_MS / 1000} s`);
}

/** Directus reads `.env` in its working directory; it wins over the environment of this process. */
async function prepareFolder(
  folder: string,
  environment: Readonly<Record<string, string>>,
): Promise<void> {
  await cp(hook, join(folder, 'extensions', 'timing-live'), { recursive: true });
  await mkdir(join(folder, 'uploads'));
  // Without it Directus loads no extension at all.
  await writeFile(join(folder, 'package.json'), '{}');
  const lines = Object.entries(environment).map(([name, value]) => `${name}="${value}"\n`);
  await writeFile(join(folder, '.env'), lines.join(''), { mode: 0o600 });
}

interface Place {
  readonly databaseUrl: string;
  readonly port: number;
  readonly token: string;
  readonly folder: string;
}

function environmentOf(place: Place): Readonly<Record<string, string>> {
  return {
    DB_CLIENT: 'pg',
    DB_CONNECTION_STRING: place.databaseUrl,
    DB_EXCLUDE_TABLES: excludedTables,
    HOST: '127.0.0.1',
    PORT: String(place.port),
    KEY: randomBytes(16).toString('hex'),
    SECRET: randomBytes(32).toString('hex'),
    ADMIN_EMAIL: 'admin@example.com',
    ADMIN_PASSWORD: randomBytes(16).toString('hex'),
    ADMIN_TOKEN: place.token,
    WEBSOCKETS_ENABLED: 'true',
    EXTENSIONS_PATH: join(place.folder, 'extensions'),
    STORAGE_LOCAL_ROOT: join(place.folder, 'uploads'),
    TELEMETRY: 'false',
    LOG_STYLE: 'raw',
    LOG_HTTP_IGNORE_PATHS: '/server/ping',
  };
}
