import { type Redis, ReplyError } from 'ioredis';
import { type ControlKeys, controlKeys } from '../../stream/control-keys.ts';
import { type Check, failure, ok, unknown } from './check.ts';
import { operatorUser } from './redis-rights.ts';

type Typed = readonly [string, ...string[]];

/**
 * A read-only command that Redis refuses with WRONGTYPE where the key holds another type, and that
 * the shipped ACL allows, because Redis logs refused commands. Null: the ACL allows no such command.
 */
const typed: {
  readonly [Key in keyof ControlKeys]: { readonly operator: Typed; readonly service: Typed | null };
} = {
  paused: { operator: ['GET'], service: ['GET'] },
  requests: {
    operator: ['XRANGE', '-', '+', 'COUNT', '1'],
    service: ['XRANGE', '-', '+', 'COUNT', '1'],
  },
  audit: { operator: ['XRANGE', '-', '+', 'COUNT', '1'], service: null },
  suspects: { operator: ['HGETALL'], service: ['HDEL', ''] },
  holders: { operator: ['HGETALL'], service: ['HGET', ''] },
  counter: { operator: ['HGETALL'], service: ['HGETALL'] },
  moved: { operator: ['ZRANGE', '0', '0'], service: ['ZSCORE', ''] },
  lost: { operator: ['HGETALL'], service: null },
  deadLetters: { operator: ['HGETALL'], service: ['HMGET', ''] },
};

/** Checks that each control key holds its type; a missing key passes. */
export async function checkControlKeys(
  redis: Redis,
  stream: { readonly key: string; readonly deadLetterKey: string },
  username: string,
): Promise<Check> {
  const name = 'control keys';
  const keys = controlKeys(stream.key);
  const user = username === operatorUser ? 'operator' : 'service';
  const commands = Object.entries(keys).flatMap(([name, key]) => {
    const words = isControlKey(name) ? typed[name][user] : null;
    return words === null ? [] : [{ key, words }];
  });
  commands.push({ key: stream.deadLetterKey, words: ['XLEN'] });
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
  [command, ...args]: Typed,
): Promise<'right' | 'wrong' | 'refused'> {
  try {
    await redis.call(command, key, ...args);
    return 'right';
  } catch (error) {
    if (!(error instanceof Error) || !(error instanceof ReplyError)) throw error;
    return error.message.startsWith('WRONGTYPE') ? 'wrong' : 'refused';
  }
}
