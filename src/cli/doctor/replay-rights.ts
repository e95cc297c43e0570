import { type Redis, ReplyError } from 'ioredis';
import { controlKeys } from '../../stream/control-keys.ts';
import { type Check, failure, ok, warning } from './check.ts';

const name = 'redis persistence';
const rule = 'user default off resetpass resetchannels ~* +@all';
const remedy = `before Redis restarts, export the dead letters (processor dlq export) and give Redis an ACL with "${rule}" (deploy/redis/users.acl, OPERATIONS.md)`;

interface StreamKeys {
  readonly key: string;
  readonly group: string;
  readonly deadLetterKey: string;
}

/**
 * Checks that Redis can load its append-only file. It replays transactions, which every script
 * becomes, as the user `default`, and drops those that this user may not run (measured on Redis
 * 7.0.15 and 8.0.2). ACL DRYRUN shows no password hashes, unlike ACL GETUSER.
 * @throws a connection error
 */
export async function checkReplayRights(redis: Redis, stream: StreamKeys): Promise<Check> {
  try {
    for (const words of replayed(stream)) {
      const answer = String(await redis.call('ACL', 'DRYRUN', 'default', ...words));
      if (answer !== 'OK') return failure(name, lossMessage(words));
    }
    return ok(name, 'AOF is on, and its transactions can be replayed');
  } catch (error) {
    if (!(error instanceof Error) || !(error instanceof ReplyError)) throw error;
    const message = `AOF is on, but ACL DRYRUN is refused: this ACL may be older than this version, and then a restart of Redis loses dead letters; ${remedy}`;
    return warning(name, message);
  }
}

function lossMessage([command = '']: readonly string[]): string {
  return `AOF is on, but the user default may not run ${command}: a restart of Redis loses dead letters and the group's progress; ${remedy}`;
}

/** Commands that scripts and XREADGROUP write to the append-only file, within MULTI and EXEC. */
function replayed({ key, group, deadLetterKey }: StreamKeys): readonly (readonly string[])[] {
  const { moved, holders, lost, deadLetters } = controlKeys(key);
  return [
    ['MULTI'],
    ['XADD', deadLetterKey, '*', 'field', 'value'],
    ['XDEL', deadLetterKey, '0-1'],
    ['HSET', deadLetters, 'field', 'value'],
    ['ZADD', moved, '0', '0-1'],
    ['ZREMRANGEBYRANK', moved, '0', '0'],
    ['HSET', holders, 'field', 'value'],
    ['HINCRBY', lost, 'field', '1'],
    ['PEXPIREAT', lost, '1'],
    ['XACK', key, group, '0-1'],
    ['XCLAIM', key, group, 'consumer', '0', '0-1'],
    ['XGROUP', 'CREATE', key, group, '0'],
    ['XGROUP', 'CREATECONSUMER', key, group, 'consumer'],
    ['XGROUP', 'SETID', key, group, '0'],
    ['XGROUP', 'DELCONSUMER', key, group, 'consumer'],
    ['EXEC'],
  ];
}
