/** A Redis primary with two replicas and three sentinels, as real processes on 127.0.0.1. */
import { commandRedis, infoField, untilAnswered } from './ask.ts';
import { type Guard, openGuard } from './guarded.ts';
import type { LocalServer } from './local-server.ts';
import { memberSettings, startRedisMember } from './redis-member.ts';
import { ServerError } from './server-error.ts';
import { temporaryPrefix } from './system-user.ts';

export interface SentinelSetOptions {
  /** Under which the sentinels know the primary; default `telemetry`. */
  readonly name?: string;
  /** Milliseconds without an answer after which a sentinel takes a server for down; default 1000. */
  readonly downAfterMs?: number;
  /** Of the Redis servers; the user is `default`. */
  readonly password?: string;
  /** Of the sentinels themselves. */
  readonly sentinelPassword?: string;
  /** Further lines of the configuration of each Redis, for example `min-replicas-to-write 1`. */
  readonly lines?: readonly string[];
}

export interface SentinelSet {
  /** `redis+sentinel://…/<name>` with the password of the servers, without that of the sentinels. */
  readonly url: string;
  readonly name: string;
  /** The first one is the primary at the start. `kill('SIGKILL')`, `kill('SIGSTOP')`, `restart()`. */
  readonly servers: readonly LocalServer[];
  readonly sentinels: readonly LocalServer[];
  /** The server that the sentinels name now. @throws when no sentinel answers */
  primary(): Promise<LocalServer>;
  /** Waits until the sentinels name another primary than this one, and it accepts writes. */
  untilPromoted(former: LocalServer): Promise<LocalServer>;
  /** Waits until the primary has this number of replicas that copy from it. */
  untilReplicas(count: number): Promise<void>;
  /** SENTINEL FAILOVER, without a fault; the new primary. */
  failover(): Promise<LocalServer>;
  /** Safe twice. */
  stop(): Promise<void>;
}

const waitMs = 60_000;
const quorum = 2;

/** @throws ServerError `no_program`, `start_failed`, `not_reachable` */
export async function startSentinelSet(options: SentinelSetOptions = {}): Promise<SentinelSet> {
  const guard = await openGuard(temporaryPrefix('sentinel'), null);
  try {
    const servers = await startServers(guard, options);
    const sentinels = await startSentinels(guard, servers, options);
    const set = sentinelSet(guard, servers, sentinels, options);
    await set.untilReplicas(servers.length - 1);
    await Promise.all(sentinels.map((sentinel) => untilComplete(sentinel, set.name)));
    return set;
  } catch (error) {
    await guard.close();
    throw error;
  }
}

async function startServers(
  guard: Guard,
  { password, lines = [] }: SentinelSetOptions,
): Promise<readonly LocalServer[]> {
  const login = password === undefined ? [] : [`masterauth ${password}`];
  const start = (name: string, further: readonly string[]) => {
    const all = [...memberSettings, ...login, ...lines, ...further];
    return startRedisMember({ guard, name, kind: 'redis', password, lines: all });
  };
  const primary = await start('redis-1', []);
  const copies = [`replicaof 127.0.0.1 ${primary.port}`];
  return [
    primary,
    ...(await Promise.all(['redis-2', 'redis-3'].map((name) => start(name, copies)))),
  ];
}

async function startSentinels(
  guard: Guard,
  servers: readonly LocalServer[],
  options: SentinelSetOptions,
): Promise<readonly LocalServer[]> {
  const { name = 'telemetry', downAfterMs = 1_000, password, sentinelPassword } = options;
  const lines = [
    `sentinel monitor ${name} 127.0.0.1 ${servers[0]?.port} ${quorum}`,
    `sentinel down-after-milliseconds ${name} ${downAfterMs}`,
    `sentinel failover-timeout ${name} 5000`,
    ...(password === undefined ? [] : [`sentinel auth-pass ${name} ${password}`]),
    ...(sentinelPassword === undefined ? [] : [`sentinel sentinel-pass ${sentinelPassword}`]),
  ];
  return await Promise.all(
    ['sentinel-1', 'sentinel-2', 'sentinel-3'].map((member) =>
      startRedisMember({
        guard,
        name: member,
        kind: 'sentinel',
        password: sentinelPassword,
        lines,
      }),
    ),
  );
}

function sentinelSet(
  guard: Guard,
  servers: readonly LocalServer[],
  sentinels: readonly LocalServer[],
  { name = 'telemetry', password }: SentinelSetOptions,
): SentinelSet {
  /** What each sentinel that answers names. */
  async function named(): Promise<readonly LocalServer[]> {
    const answers = await Promise.allSettled(sentinels.map(({ url }) => primaryPort(url, name)));
    const ports = answers.flatMap((answer) => (answer.status === 'fulfilled' ? answer.value : []));
    return ports.flatMap((port) => servers.filter((server) => server.port === port));
  }

  /** For a moment after a failover the sentinels differ. */
  async function primary(): Promise<LocalServer> {
    const [first, ...others] = await named();
    if (first === undefined || others.some((other) => other !== first)) {
      throw new ServerError('not_reachable', 'no sentinel answers, or they name different servers');
    }
    return first;
  }

  function untilPromoted(former: LocalServer): Promise<LocalServer> {
    return untilAnswered(
      'a promoted primary',
      async () => {
        const next = await primary();
        if (next === former) throw new Error('the sentinels still name the former primary');
        await expectField(next, 'role', 'master');
        return next;
      },
      waitMs,
    );
  }

  const login = password === undefined ? '' : `:${encodeURIComponent(password)}@`;
  return {
    url: `redis+sentinel://${login}${sentinels.map(({ port }) => `127.0.0.1:${port}`).join()}/${name}`,
    name,
    servers,
    sentinels,
    primary,
    untilPromoted,
    untilReplicas: (count) =>
      untilAnswered(
        'replicas',
        async () => {
          await expectReplicas(await primary(), count);
        },
        waitMs,
      ),
    async failover() {
      const former = await primary();
      await untilAnswered('a failover', () => askInTurn(sentinels, 'FAILOVER', name), waitMs);
      return await untilPromoted(former);
    },
    stop: () => guard.close(),
  };
}

/** Of one sentinel only: each that accepts FAILOVER starts one. */
async function askInTurn(sentinels: readonly LocalServer[], ...args: readonly string[]) {
  let failure: unknown;
  for (const { url } of sentinels) {
    try {
      return await commandRedis(url, 'SENTINEL', ...args);
    } catch (error) {
      failure = error;
    }
  }
  throw failure;
}

async function primaryPort(url: string, name: string): Promise<number> {
  const place: unknown = await commandRedis(url, 'SENTINEL', 'GET-MASTER-ADDR-BY-NAME', name);
  if (!Array.isArray(place)) throw new Error(`the sentinel does not know ${name}`);
  return Number(place[1]);
}

async function expectField(server: LocalServer, field: string, value: string): Promise<void> {
  const found = infoField(await commandRedis(server.url, 'INFO'), field);
  if (found !== value) throw new Error(`${field} of port ${server.port} is ${found}`);
}

async function expectReplicas(primary: LocalServer, count: number): Promise<void> {
  const info = String(await commandRedis(primary.url, 'INFO', 'replication'));
  const online = info.match(/^slave\d+:.*state=online/gm)?.length ?? 0;
  if (online < count) throw new Error(`${online} of ${count} replicas copy from the primary`);
}

/** Until then it could neither agree with the others nor choose a replica. */
async function untilComplete(sentinel: LocalServer, name: string): Promise<void> {
  const complete = new RegExp(`name=${name},status=ok,.*slaves=2,sentinels=3`);
  await untilAnswered(
    'a sentinel that knows its set',
    async () => {
      const info = String(await commandRedis(sentinel.url, 'INFO', 'sentinel'));
      if (!complete.test(info)) throw new Error(info.trim().split('\n').at(-1));
    },
    waitMs,
  );
}
