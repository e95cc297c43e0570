import { type Redis, ReplyError } from 'ioredis';
import { controlKeys } from '../../stream/control-keys.ts';
import type { TopologyKind } from '../../stream/topology.ts';
import { type Check, failure, ok, unknown } from './check.ts';

/** A command with its arguments, keys included. */
export type NeededCommand = readonly string[];

export interface RightsOptions {
  readonly key: string;
  readonly deadLetterKey: string;
  /** User name of REDIS_URL; it decides which commands are needed. */
  readonly username: string;
  readonly topology: TopologyKind;
}

/** As in deploy/redis/users.acl; any other user counts as that of the service. */
export const operatorUser = 'processor-operator';

/** Lets Redis 7.0 and newer check each command against the ACL without running it. */
const checkScript = `
local denied = {}
for at, line in ipairs(ARGV) do
  local words = cjson.decode(line)
  local ok, allowed = pcall(redis.acl_check_cmd, unpack(words))
  if not (ok and allowed) then denied[#denied + 1] = at end
end
return denied`;

/** Checks that the ACL allows the user every command that this version sends. */
export async function checkRedisRights(redis: Redis, options: RightsOptions): Promise<Check> {
  const name = 'redis rights';
  const needed = neededCommands(options);
  const lines = needed.map((words) => JSON.stringify(words));
  try {
    const denied: unknown = await redis.call('EVAL', checkScript, '1', options.key, ...lines);
    const positions = Array.isArray(denied) ? denied.map(Number) : [];
    if (positions.length === 0) return ok(name, `${needed.length} commands are allowed`);
    const shown = positions.map((position) => describe(needed[position - 1] ?? [], options));
    return failure(
      name,
      `the user may not run ${shown.join(', ')}: the ACL is of an older version; run deploy/redis/make-acl again, then ACL LOAD`,
    );
  } catch (error) {
    if (!(error instanceof Error) || !(error instanceof ReplyError)) throw error;
    if (!error.message.startsWith('NOPERM')) {
      return unknown(name, `Redis answered ${error.message.split(' ', 1)[0]}`);
    }
    return failure(name, `the user may not run EVAL on ${options.key}: deploy/redis/make-acl`);
  }
}

function describe(words: NeededCommand, options: RightsOptions): string {
  const keys = [options.key, options.deadLetterKey, ...Object.values(controlKeys(options.key))];
  const key = words.find((word) => keys.includes(word)) ?? '';
  const hasSubcommand = ['XINFO', 'XGROUP', 'CLIENT', 'ACL', 'SCRIPT', 'CLUSTER'].includes(
    words[0] ?? '',
  );
  const command = hasSubcommand ? `${words[0]} ${words[1]}` : (words[0] ?? '');
  return `${command}${key === '' ? '' : ` on ${key}`}`;
}

export function neededCommands(options: RightsOptions): readonly NeededCommand[] {
  const common = options.topology === 'cluster' ? [...ofAll, ['CLUSTER', 'SLOTS']] : ofAll;
  const own = options.username === operatorUser ? ofOperator(options) : ofService(options);
  return [...common, ...own];
}

const ofAll: readonly NeededCommand[] = [
  ['INFO'],
  ['PING'],
  ['TIME'],
  ['CLIENT', 'SETNAME', 'n'],
  ['ACL', 'DRYRUN', 'default', 'PING'],
];

const group = 'g';
const id = '0-0';

/** Commands of the service, those in its scripts included. */
function ofService({ key, deadLetterKey }: RightsOptions): readonly NeededCommand[] {
  const control = controlKeys(key);
  return [
    ['XLEN', key],
    ['XREADGROUP', 'GROUP', group, 'c', 'STREAMS', key, '>'],
    ['XACK', key, group, id],
    ['XPENDING', key, group],
    ['XCLAIM', key, group, 'c', '0', id],
    ['XRANGE', key, id, id],
    ['EXISTS', key],
    ['XINFO', 'STREAM', key],
    ['XINFO', 'GROUPS', key],
    ['XINFO', 'CONSUMERS', key, group],
    ['XGROUP', 'CREATE', key, group, id],
    ['XGROUP', 'SETID', key, group, id],
    ['XGROUP', 'DELCONSUMER', key, group, 'c'],
    ['EVAL', '', '4', key, deadLetterKey, control.moved, control.deadLetters],
    ['EVAL', '', '2', key, control.counter],
    ['HGET', control.counter, group],
    ['HGETALL', control.counter],
    ['HSET', control.counter, group, 'v'],
    ['XADD', deadLetterKey, id, 'f', 'v'],
    ['XLEN', deadLetterKey],
    ['XRANGE', deadLetterKey, id, id],
    ['XDEL', deadLetterKey, id],
    ['GET', control.paused],
    ['XRANGE', control.requests, id, id],
    ['XREVRANGE', control.requests, id, id],
    ['HINCRBY', control.suspects, 'f', '1'],
    ['EXPIRE', control.suspects, '1'],
    ['HDEL', control.suspects, 'f'],
    ['HGET', control.holders, 'f'],
    ['HSET', control.holders, 'f', 'v'],
    ['ZSCORE', control.moved, 'm'],
    ['ZADD', control.moved, '0', 'm'],
    ['ZREMRANGEBYRANK', control.moved, '0', '0'],
    ['EVAL', '', '1', control.lost],
    ['HINCRBY', control.lost, 'f', '1'],
    ['HSET', control.lost, 'f', 'v'],
    ['PEXPIRE', control.lost, '1'],
    ['HMGET', control.deadLetters, 'f'],
    ['HSET', control.deadLetters, 'f', 'v'],
  ];
}

/** Commands that the operator commands send. */
function ofOperator({ key, deadLetterKey }: RightsOptions): readonly NeededCommand[] {
  const control = controlKeys(key);
  return [
    ['SET', control.paused, 'v'],
    ['GETDEL', control.paused],
    ['GET', control.paused],
    ['XADD', control.requests, id, 'f', 'v'],
    ['XADD', control.audit, id, 'f', 'v'],
    ['XDEL', control.requests, id],
    ['XDEL', control.audit, id],
    ['SCRIPT', 'KILL'],
    ['XRANGE', control.audit, id, id],
    ['XREVRANGE', control.audit, id, id],
    ['HGETALL', control.suspects],
    ['HGETALL', control.holders],
    ['ZRANGE', control.moved, '0', '0'],
    ['HGETALL', control.lost],
    ['HGETALL', control.deadLetters],
    ['XLEN', key],
    ['XINFO', 'STREAM', key],
    ['XINFO', 'GROUPS', key],
    ['EVAL', '', '1', key],
    ['XPENDING', key, group],
    ['XRANGE', key, id, id],
    ['EXISTS', key],
    ['XCLAIM', key, group, 'c', '0', id],
    ['XINFO', 'CONSUMERS', key, group],
    ['XGROUP', 'DELCONSUMER', key, group, 'c'],
    ['XDEL', key, id],
    ['XSETID', key, id],
    ['XGROUP', 'SETID', key, group, id],
    ['XADD', key, id, 'f', 'v'],
    ['XRANGE', deadLetterKey, id, id],
    ['XREVRANGE', deadLetterKey, id, id],
    ['XLEN', deadLetterKey],
    ['XDEL', deadLetterKey, id],
  ];
}
