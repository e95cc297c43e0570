import { type Redis, ReplyError } from 'ioredis';
import { type ControlKeys, controlKeys } from '../../stream/control-keys.ts';
import { type Check, failure, ok, unknown } from './check.ts';

/**
 * Commands that Redis refuses with WRONGTYPE where the key holds another type, and that change
 * nothing. The first one is for the operator's user, the second one for the service's.
 */
const typed: { readonly [Key in keyof ControlKeys]: readonly (readonly [string, ...string[]])[] } =
  {
    paused: [['GET']],
    requests: [['XRANGE', '-', '+', 'COUNT', '1']],
    audit: [['XRANGE', '-', '+', 'COUNT', '1']],
    suspects: [['HGETALL'], ['HDEL', '']],
    holders: [['HGETALL'], ['HGET', '']],
    counter: [['HGETALL']],
    moved: [
      ['ZRANGE', '0', '0'],
      ['ZSCORE', ''],
    ],
    lost: [['HGETALL']],
    deadLetters: [['HGETALL'], ['HMGET', '']],
  };

/** Whether each key beside the stream holds its type; a missing key does. */
export async function checkControlKeys(
  redis: Redis,
  stream: { readonly key: string; readonly deadLetterKey: string },
): Promise<Check> {
  const name = 'control keys';
  const keys = controlKeys(stream.key);
  const commands = Object.entries(keys).map(([name, key]) => {
    return { key, words: isControlKey(name) ? typed[name] : [] };
  });
  commands.push({ key: stream.deadLetterKey, words: [['XLEN']] });
  const wrong: string[] = [];
  const refused: string[] = [];
  for (const { key, words } of commands) {
    const found = await tryType(redis, key, words);
    if (found === 'wrong') wrong.push(key);
    if (found === 'refused') refused.push(key);
  }
  if (wrong.length > 0) {
    return failure(name, `${wrong.join(', ')}: wrong type of value: rename or delete the key`);
  }
  if (refused.length === commands.length) return unknown(name, 'an ACL refuses to read them');
  return ok(name, 'each holds its type');
}

function isControlKey(name: string): name is keyof ControlKeys {
  return Object.hasOwn(typed, name);
}

async function tryType(
  redis: Redis,
  key: string,
  words: readonly (readonly [string, ...string[]])[],
): Promise<'right' | 'wrong' | 'refused'> {
  for (const [command, ...args] of words) {
    try {
      await redis.call(command, key, ...args);
      return 'right';
    } catch (error) {
      if (!(error instanceof Error) || !(error instanceof ReplyError)) throw error;
      if (error.message.startsWith('WRONGTYPE')) return 'wrong';
    }
  }
  return 'refused';
}
