import { type Redis, ReplyError } from 'ioredis';
import { readGround } from '../../stream/ground.ts';
import { topologyOf } from '../../stream/topology.ts';
import { type Check, failure, ok, unknown, warning } from './check.ts';
import { checkControlKeys } from './control.ts';
import { checkEntryIds } from './entry-ids.ts';
import { checkRedisRights } from './redis-rights.ts';
import { checkReplayRights } from './replay-rights.ts';

const oldestRedis = 7;
/** Share of maxmemory above which Redis counts as nearly full. */
const nearlyFull = 0.8;

interface StreamKeys {
  readonly key: string;
  readonly group: string;
  readonly deadLetterKey: string;
}

/** Checks what the service needs of Redis. @throws a connection error */
export async function checkRedis(
  redis: Redis,
  stream: StreamKeys,
  username: string,
): Promise<Check[]> {
  const server = parseInfo(await redis.info('server'));
  const memory = parseInfo(await redis.info('memory'));
  const persistence = parseInfo(await redis.info('persistence'));
  return [
    version(server.get('redis_version') ?? 'unknown'),
    await role(redis),
    persistence.get('aof_enabled') === '1' ? await checkReplayRights(redis, stream) : withoutAof,
    eviction(memory.get('maxmemory_policy')),
    memoryCheck(memory),
    ...(await checkStream(redis, stream, username)),
    await clock(redis),
  ];
}

/** The checks that are about keys; the others are about the server. */
export const streamCheckNames: readonly string[] = [
  'stream',
  'entry ids',
  'control keys',
  'redis rights',
];

/** Checks what the service needs of one stream's keys. @throws a connection error */
export async function checkStream(
  redis: Redis,
  stream: StreamKeys,
  username: string,
): Promise<Check[]> {
  return [
    await streamCheck(redis, stream),
    await checkEntryIds(redis, stream.key),
    await checkControlKeys(redis, stream, username),
    await checkRedisRights(redis, { ...stream, username, topology: topologyOf(redis) }),
  ];
}

/** A replica, a sentinel and a node without a hash tag were refused when the connection was made. */
async function role(redis: Redis): Promise<Check> {
  const name = 'redis role';
  const { mode, role: found } = await readGround(redis);
  if (mode === null) return unknown(name, 'an ACL refuses INFO');
  if (mode !== 'cluster' || topologyOf(redis) === 'cluster') return ok(name, `${mode}, ${found}`);
  const message =
    'a node of a cluster: works only while it owns the slot of the stream; use redis+cluster:// in REDIS_URL';
  return warning(name, message);
}

function parseInfo(text: string): Map<string, string> {
  const lines = text.split('\r\n').filter((line) => line.includes(':'));
  return new Map(
    lines.map((line) => [line.slice(0, line.indexOf(':')), line.slice(line.indexOf(':') + 1)]),
  );
}

function version(found: string): Check {
  return Number(found.split('.', 1)[0]) >= oldestRedis
    ? ok('redis version', found)
    : failure('redis version', `${found}: install ${oldestRedis}.0 or newer`);
}

const withoutAof = warning(
  'redis persistence',
  'AOF is off: entries that were not yet read are lost with the process; appendonly yes',
);

function eviction(policy: string | undefined): Check {
  const name = 'redis eviction';
  if (policy === undefined) return unknown(name, 'the server does not report its policy');
  if (policy.startsWith('allkeys')) {
    return failure(name, `${policy} may delete the whole stream: maxmemory-policy noeviction`);
  }
  return ok(name, policy);
}

function memoryCheck(memory: ReadonlyMap<string, string>): Check {
  const name = 'redis memory';
  const maxBytes = Number(memory.get('maxmemory') ?? 0);
  const used = Number(memory.get('used_memory') ?? 0);
  const text = `${Math.round(used / 1e6)} MB used`;
  if (maxBytes === 0)
    return warning(name, `${text}, no maxmemory: a backlog grows until the kernel ends Redis`);
  const share = used / maxBytes;
  const of = `${text} of ${Math.round(maxBytes / 1e6)} MB`;
  return share > nearlyFull ? warning(name, `${of}: nearly full`) : ok(name, of);
}

async function streamCheck(
  redis: Redis,
  { key, group }: { readonly key: string; readonly group: string },
): Promise<Check> {
  const name = 'stream';
  try {
    if ((await redis.exists(key)) === 0) {
      return warning(name, `${key} does not exist: does the ingestion service use the same name?`);
    }
    const groups: unknown = await redis.xinfo('GROUPS', key);
    const names = Array.isArray(groups)
      ? groups.map((one: unknown) => (Array.isArray(one) ? one[1] : ''))
      : [];
    const length = await redis.xlen(key);
    return names.includes(group)
      ? ok(name, `${key} has ${length} entries and the group ${group}`)
      : warning(name, `${key} has no group ${group}: the service creates it at its first start`);
  } catch (error) {
    if (!(error instanceof Error) || !(error instanceof ReplyError)) throw error;
    if (error.message.startsWith('WRONGTYPE')) return failure(name, `${key} is not a stream`);
    return unknown(name, `${key}: Redis answered ${error.message.split(' ', 1)[0]}`);
  }
}

/** Beyond this a latency in the metrics says little. */
const maxSkewMs = 2000;

async function clock(redis: Redis): Promise<Check> {
  const name = 'redis clock';
  try {
    const [seconds, micros] = await redis.time();
    const skewMs = Math.round(Number(seconds) * 1000 + Number(micros) / 1000 - Date.now());
    const text = `${skewMs} ms ahead of this machine`;
    return Math.abs(skewMs) > maxSkewMs ? warning(name, `${text}: set the clocks`) : ok(name, text);
  } catch (error) {
    if (!(error instanceof Error) || !(error instanceof ReplyError)) throw error;
    const word = error.message.split(' ', 1)[0];
    return unknown(name, word === 'NOPERM' ? 'an ACL refuses TIME' : `Redis answered ${word}`);
  }
}
