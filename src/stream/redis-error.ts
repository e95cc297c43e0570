import { ReplyError } from 'ioredis';
import { certificateRefused, DependencyError } from '../core/types.ts';
import { RedisAnswer } from './raw-replies.ts';

/** The command that Redis refused. */
interface RefusedCommand {
  readonly name: string;
  readonly keys: readonly string[];
}

/** What the operator must do, by error word; these errors do not end without action. */
const advices: Readonly<Record<string, (command: RefusedCommand, message: string) => string>> = {
  WRONGPASS: () => 'the login is refused: check REDIS_URL and REDIS_PASSWORD',
  NOAUTH: () => 'Redis asks for a password: set REDIS_PASSWORD',
  NOPERM: permissionAdvice,
  WRONGTYPE: ({ keys }) =>
    `${keysText(keys, 'a key of the stream')} has the wrong type: see processor doctor, then rename or delete it`,
  ERR: answerAdvice,
  MOVED: clusterAdvice,
  ASK: clusterAdvice,
  CROSSSLOT: clusterAdvice,
  TRYAGAIN: clusterAdvice,
  CLUSTERDOWN: clusterAdvice,
};

/** Replies of a cluster while a slot moves or a node fails over. */
const ordinaryWords = ['MOVED', 'ASK', 'TRYAGAIN', 'CLUSTERDOWN'];

const ordinary = new WeakSet<Error>();

/** Marks an error reply of a connection to a cluster, where a slot that moves heals by a retry. */
export function markOrdinary(error: Error): void {
  ordinary.add(error);
}

/**
 * Turns an error of ioredis into a DependencyError; rethrows what indicates a bug.
 * @param keys the command's keys, if the error does not name the command
 */
export function asRedisError(error: unknown, keys: readonly string[] = []): DependencyError {
  if (error instanceof DependencyError) return error;
  if (error instanceof TypeError || error instanceof RangeError || !(error instanceof Error)) {
    throw error;
  }
  if (error instanceof ReplyError || error instanceof RedisAnswer) return answered(error, keys);
  const code = 'code' in error && typeof error.code === 'string' ? error.code : 'CONNECTION';
  if (certificateRefused.test(code)) {
    const message = `redis ${code}: its certificate is not trusted: check REDIS_CA_FILE, the host in REDIS_URL and the certificate`;
    return new DependencyError('redis', 'configuration', code, message, { cause: error });
  }
  const message = `redis ${code}: not available at the moment`;
  return new DependencyError('redis', 'unavailable', code, message, { cause: error });
}

/**
 * Runs Redis calls and turns what they throw into a DependencyError. A TypeError or RangeError, which
 * is a bug, passes unchanged.
 */
export async function callRedis<Result>(calls: () => Promise<Result>): Promise<Result> {
  try {
    return await calls();
  } catch (error) {
    throw asRedisError(error);
  }
}

function answered(error: Error, keys: readonly string[]): DependencyError {
  const word = wordOf(error.message);
  const isOrdinary = ordinary.has(error) && ordinaryWords.includes(word);
  const advice = isOrdinary ? undefined : advices[word];
  const command = commandOf(error) ?? { name: '', keys };
  const text = `redis answered ${word}`;
  const message = advice === undefined ? text : `${text}: ${advice(command, error.message)}`;
  const kind = advice === undefined ? 'unavailable' : 'configuration';
  return new DependencyError('redis', kind, word, message, { cause: error });
}

/** The error word; inside a script Redis 7 reports a missing permission as ERR. */
function wordOf(message: string): string {
  if (/^ERR The user executing the script can't/.test(message)) return 'NOPERM';
  return /^[A-Z]+/.exec(message)?.[0] ?? 'ERR';
}

/** The refused command, which ioredis attaches to the error. */
function commandOf(error: Error): RefusedCommand | null {
  const command = 'command' in error ? error.command : null;
  if (typeof command !== 'object' || command === null) return null;
  if (!('name' in command) || !('args' in command) || !Array.isArray(command.args)) return null;
  const name = String(command.name).toUpperCase();
  return { name, keys: keysOf(name, command.args.map(String)) };
}

const withoutKeys = ['AUTH', 'CLIENT', 'INFO', 'PING', 'SELECT', 'TIME', 'MULTI', 'EXEC', 'SCRIPT'];

function keysOf(name: string, args: readonly string[]): readonly string[] {
  if (withoutKeys.includes(name)) return [];
  if (name === 'EVAL' || name === 'EVALSHA') return args.slice(2, 2 + Number(args[1]));
  if (name === 'XREADGROUP') return args.slice(args.indexOf('STREAMS') + 1, -1);
  if (name === 'XGROUP' || name === 'XINFO') return args.slice(1, 2);
  return args.slice(0, 1);
}

function keysText(keys: readonly string[], otherwise: string): string {
  if (keys.length === 0) return otherwise;
  return keys.length === 1 ? (keys[0] ?? otherwise) : `one of ${keys.join(', ')}`;
}

function permissionAdvice({ name, keys }: RefusedCommand, message: string): string {
  const named = /run the '([^']{1,60})' command/.exec(message)?.[1]?.toUpperCase() ?? name;
  if (named === 'SELECT') {
    return 'the user may not run SELECT: allow +select in its ACL, or use database 0 in REDIS_URL';
  }
  const command = named === '' ? 'a command' : named;
  return `the user may not run ${command} on ${keysText(keys, 'its key')}: its ACL may be of an older version; run deploy/redis/make-acl again, then ACL LOAD`;
}

function answerAdvice(_command: RefusedCommand, message: string): string {
  if (/^ERR DB index is out of range/.test(message)) {
    return 'DB index is out of range: name another database in REDIS_URL, or raise databases in redis.conf';
  }
  if (/^ERR unknown command/.test(message)) {
    return 'the server does not know the command: REDIS_URL must name a Redis of version 7.0 or newer';
  }
  return 'see the cause, and processor doctor';
}

function clusterAdvice(): string {
  return 'redis is a cluster: use redis+cluster:// in REDIS_URL; all keys of a stream must be in one slot';
}

/** Whether the error says that the group, or the stream with it, is missing. */
export function isGroupGone(error: unknown): boolean {
  return (
    error instanceof Error &&
    (error.message.startsWith('NOGROUP') || error.message.startsWith('UNBLOCKED'))
  );
}
