import { setTimeout } from 'node:timers/promises';
import type { ConnectionOptions } from 'node:tls';
import pg from 'pg';
import { DependencyError, type Logger } from '../core/types.ts';
import { asDependencyError } from './errors.ts';
import { readWriteState, type WriteState } from './ground.ts';
import { placeOf, type Servers, type Target } from './servers.ts';

export interface PrimaryEvents {
  readonly log: Logger;
  /** Another server takes writes than before. */
  readonly onChange: () => void;
}

export interface ServerLogin {
  /** Null: plain text. Each server's certificate is checked for its own host name. */
  readonly tls: ConnectionOptions | null;
  readonly applicationName: string;
  /** For each server: to connect, and to answer. */
  readonly connectTimeoutMs: number;
}

/** Finds the server of a list that takes writes. */
export interface PrimarySearch {
  /** The server that was found last; searches if none is known. @throws DependencyError */
  find(): Promise<string>;
  /** The server that the last search found; the first of the list before any search. */
  readonly latest: string;
  /**
   * A connection to this server failed, so the next `find` searches.
   * @returns false if the URL names one server, which is used whatever it is
   */
  doubt(url: string): boolean;
}

/**
 * Tries one server at a time: the one that took writes last, then in the order of the list. Callers
 * that wait at the same time share one search. A single server without a target is not asked.
 */
export function createPrimarySearch(
  servers: Servers,
  login: ServerLogin,
  { log, onChange }: PrimaryEvents,
): PrimarySearch {
  const { urls, target } = servers;
  let latest = urls[0];
  let isSure = target === null;
  let hasFound = false;
  let searching: Promise<string> | null = null;

  async function search(wanted: Target): Promise<string> {
    const order = [latest, ...urls.filter((url) => url !== latest)];
    const found = await firstOf(order, wanted, login);
    if (hasFound && found !== latest) {
      log.info({ from: placeOf(latest), to: placeOf(found) }, 'database primary changed');
      onChange();
    }
    hasFound = true;
    latest = found;
    isSure = true;
    return found;
  }

  return {
    async find() {
      if (isSure || target === null) return latest;
      searching ??= search(target).finally(() => {
        searching = null;
      });
      return await searching;
    },
    get latest() {
      return latest;
    },
    doubt(url) {
      if (target === null) return false;
      if (url === latest) isSure = false;
      return true;
    },
  };
}

async function firstOf(
  urls: readonly string[],
  target: Target,
  login: ServerLogin,
): Promise<string> {
  const refusals: Refusal[] = [];
  for (const url of urls) {
    const refusal = await refusalOf(url, target, login);
    if (refusal === null) return url;
    refusals.push(refusal);
  }
  throw noneOf(refusals);
}

/** Why a server of the list was not taken. */
interface Refusal {
  readonly url: string;
  readonly code: string;
  readonly reason: string;
  /** `standby`: it answers and takes no writes, which a promotion ends. */
  readonly kind: 'standby' | DependencyError['kind'];
  readonly cause: unknown;
}

async function refusalOf(url: string, target: Target, login: ServerLogin): Promise<Refusal | null> {
  try {
    const state = await askServer(url, login, readWriteState);
    if (state === 'primary' || (state === 'read-only' && target === 'primary')) return null;
    return { url, ...standbyRefusals[state], kind: 'standby', cause: null };
  } catch (error) {
    const failure = asDependencyError(error);
    const { code, kind } = failure;
    return { url, code, reason: reasonOf(failure), kind, cause: error };
  }
}

/** An error without a code of its own says more in its message, such as a timeout. */
function reasonOf({ code, message, cause }: DependencyError): string {
  if (code === 'CONNECTION' && cause instanceof Error) return cause.message;
  return message.replace(/^database( \w+)?: /, '');
}

const standbyRefusals = {
  standby: { code: 'STANDBY', reason: 'a standby' },
  'read-only': { code: 'READ_ONLY', reason: 'its transactions are read-only' },
} as const satisfies Record<Exclude<WriteState, 'primary'>, object>;

/**
 * Names every server. With standbys alone the error is `unavailable`: a promotion ends it. It is
 * `configuration` if each server answered and one of them refused the service.
 */
function noneOf(refusals: readonly Refusal[]): DependencyError {
  const isAway = refusals.some(({ kind }) => kind === 'unavailable');
  const isRefused = refusals.some(({ kind }) => kind === 'configuration');
  const codes = new Set(refusals.map(({ code }) => code));
  const [only] = codes;
  const code = codes.size === 1 && only !== undefined ? only : 'NO_PRIMARY';
  const each = refusals.map(({ url, code, reason }) => `${placeOf(url)} ${code} (${reason})`);
  const advice = 'promote a standby, or start the primary';
  const message = `database: none of the ${refusals.length} servers takes writes: ${each.join(', ')}; ${advice}`;
  const kind = isRefused && !isAway ? 'configuration' : 'unavailable';
  const cause = refusals.find((refusal) => refusal.cause !== null)?.cause;
  return new DependencyError('database', kind, code, message, { cause });
}

/** A connection that has answered closes at once; one that hangs is left to the operating system. */
const closeMs = 500;

/** Asks one server on a connection of its own. @throws the error of pg or of `ask` */
export async function askServer<Answer>(
  url: string,
  { tls, applicationName, connectTimeoutMs }: ServerLogin,
  ask: (client: pg.Client) => Promise<Answer>,
): Promise<Answer> {
  const client = new pg.Client({
    connectionString: url,
    ssl: tls ? { ...tls } : false,
    application_name: applicationName,
    connectionTimeoutMillis: connectTimeoutMs,
    query_timeout: connectTimeoutMs,
  });
  // A broken connection also rejects; without a listener its event would end the process.
  client.on('error', () => undefined);
  try {
    await client.connect();
    return await ask(client);
  } finally {
    await Promise.race([
      client.end().catch(() => undefined),
      setTimeout(closeMs, undefined, { ref: false }),
    ]);
  }
}
