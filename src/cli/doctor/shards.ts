import type { Redis } from 'ioredis';
import { isGroundCode } from '../../stream/ground.ts';
import { asRedisError } from '../../stream/redis.ts';
import { failureText } from '../failure-text.ts';
import { shardsText } from '../shard-text.ts';
import { forEachStream, type StreamStore } from '../shards.ts';
import { type Check, failure, ok } from './check.ts';
import { checkRedis, checkStream, streamCheckNames } from './redis.ts';

/** The checks of one stream, and of its server if no other stream of that server had them. */
interface Checked {
  readonly shard: number;
  readonly server: string;
  readonly ofServer: readonly Check[];
  readonly ofStream: readonly Check[];
}

/**
 * Checks the streams and their servers, each server once. Shards with the same result are named in one
 * check, and so are the shards whose keys are all right.
 */
export async function checkShards(
  streams: readonly StreamStore[],
  username: string,
): Promise<Check[]> {
  const servers = new Set<string>();
  const checked = await forEachStream(streams, (store) => checkedOf(store, username, servers));
  const shardsOf = (name: string) =>
    checked.flatMap(({ shard, server }) => (server === name ? [shard] : []));
  const ofServers = checked.flatMap(({ server, ofServer }) =>
    ofServer.map((check) => ({ check, shards: shardsOf(server) })),
  );
  const ofStreams = checked.flatMap(({ shard, ofStream }) =>
    ofStream.map((check) => ({ check: withoutDetails(check), shards: [shard] })),
  );
  return [...joined(ofServers, streams.length), ...joined(ofStreams, streams.length)];
}

async function checkedOf(
  { stream, redis }: StreamStore,
  username: string,
  servers: Set<string>,
): Promise<Checked> {
  const shard = stream.shard ?? 0;
  try {
    const client = await redis();
    const server = await runIdOf(client);
    const isFirst = !servers.has(server);
    servers.add(server);
    const check = isFirst ? checkRedis : checkStream;
    const checks = await check(client, stream, username);
    const [ofStream = [], ofServer = []] = [true, false].map((isOfStream) =>
      checks.filter(({ name }) => streamCheckNames.includes(name) === isOfStream),
    );
    return { shard, server, ofServer, ofStream };
  } catch (error) {
    const failed = asRedisError(error);
    const name = isGroundCode(failed.code) ? 'redis role' : 'redis';
    const check = failure(name, failureText(failed));
    return { shard, server: '', ofServer: [], ofStream: [check] };
  }
}

/** Empty where an ACL refuses INFO: all such servers count as one. */
async function runIdOf(redis: Redis): Promise<string> {
  const info = await redis.info('server').catch(() => '');
  return /^run_id:(\w+)/m.exec(info)?.[1] ?? '';
}

/** What differs from shard to shard although all is well is left out, as the names of keys. */
function withoutDetails(check: Check): Check {
  return check.state === 'ok' ? ok(check.name, 'as it must be') : check;
}

function joined(
  found: readonly { readonly check: Check; readonly shards: readonly number[] }[],
  all: number,
): Check[] {
  const groups = new Map<string, { readonly check: Check; readonly shards: number[] }>();
  for (const { check, shards } of found) {
    const key = JSON.stringify(check);
    const group = groups.get(key);
    if (group === undefined) groups.set(key, { check, shards: [...shards] });
    else group.shards.push(...shards);
  }
  return [...groups.values()].map(({ check, shards: unsorted }) => {
    const shards = unsorted.toSorted((a, b) => a - b);
    const isSome = shards.length < all || check.state !== 'ok';
    const message = isSome ? `${shardsText(shards)}: ${check.message}` : check.message;
    return { ...check, message, shards };
  });
}
