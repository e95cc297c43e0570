import { type Redis, ReplyError } from 'ioredis';
import { idFault } from '../../stream/entry-id.ts';
import { infoOf } from '../../stream/info.ts';
import { idFaultText } from '../id-fault.ts';
import { type Check, failure, ok, unknown, warning } from './check.ts';

const name = 'entry ids';

/** Whether the newest id of the stream says when it was added. */
export async function checkEntryIds(redis: Redis, key: string): Promise<Check> {
  try {
    if ((await redis.exists(key)) === 0) return ok(name, 'none yet');
    const newest = String(infoOf(await redis.xinfo('STREAM', key)).get('last-generated-id'));
    const fault = idFault(newest, Date.now());
    if (fault === null) return ok(name, `the newest is ${newest}`);
    const text = `the newest is ${newest}: ${idFaultText(fault)}`;
    return fault === 'exhausted' ? failure(name, text) : warning(name, text);
  } catch (error) {
    if (!(error instanceof Error) || !(error instanceof ReplyError)) throw error;
    return unknown(name, `${key}: Redis answered ${error.message.split(' ', 1)[0]}`);
  }
}
