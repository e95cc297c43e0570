import { createSwitches } from '../stream/control.ts';
import { controlKeys } from '../stream/control-keys.ts';
import { askConsent, type ChangeFlags, operatorOf } from './change.ts';
import { type CliExit, type CliIo, cliExits, print } from './io.ts';
import { withStores } from './stores.ts';

/** `processor pause`: no instance reads until `resume`; what they hold is written first. */
export function runPause(io: CliIo, flags: ChangeFlags & { reason: string }): Promise<CliExit> {
  return withStores(io, async ({ config, redis }) => {
    const { key } = config.stream;
    const consent = await askConsent(io, flags, `pause consumption of ${key} on all instances`);
    if (consent === 'refused') return cliExits.refused;
    if (consent === 'dry_run') {
      print(io, flags, { dry_run: true, paused: false }, `would pause consumption of ${key}`);
      return cliExits.ok;
    }
    const pause = { by: operatorOf(io, flags), reason: flags.reason, at: new Date().toISOString() };
    const isNew = await createSwitches(redis, controlKeys(key)).pause(pause);
    const text = isNew
      ? `consumption of ${key} is paused; running instances stop within two seconds`
      : `consumption of ${key} was paused already`;
    print(io, flags, { paused: true, changed: isNew }, text);
    return cliExits.ok;
  });
}

/** `processor resume`: takes the pause back. */
export function runResume(io: CliIo, flags: ChangeFlags): Promise<CliExit> {
  return withStores(io, async ({ config, redis }) => {
    const { key } = config.stream;
    const consent = await askConsent(io, flags, `resume consumption of ${key} on all instances`);
    if (consent === 'refused') return cliExits.refused;
    if (consent === 'dry_run') {
      print(io, flags, { dry_run: true, resumed: false }, `would resume consumption of ${key}`);
      return cliExits.ok;
    }
    const ended = await createSwitches(redis, controlKeys(key)).resume(operatorOf(io, flags));
    const text =
      ended === null
        ? `consumption of ${key} was not paused`
        : `consumption of ${key} is resumed; it was paused by ${ended.by} at ${ended.at}: ${ended.reason}`;
    print(io, flags, { resumed: ended !== null, pause: ended }, text);
    return cliExits.ok;
  });
}
