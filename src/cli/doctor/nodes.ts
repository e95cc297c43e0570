import { type Place, placeText } from '../../stream/topology.ts';
import { plural } from '../format.ts';
import { type Check, ok, unknown, warning } from './check.ts';
import { codeOf, type Result, succeeded } from './results.ts';

/** Beyond this a latency in the metrics says little, and a failover may reuse entry ids. */
const maxSkewMs = 2000;
/** As `min-replicas-max-lag`: a replica that was heard of longer ago does not count. */
const maxLagSeconds = 10;

export interface Replica {
  readonly place: Place;
  /** It copies from its primary and was heard of within `maxLagSeconds`. */
  readonly isGood: boolean;
}

/** Reads the replicas in INFO replication of a primary. */
export function replicasOf(info: string): readonly Replica[] {
  const lines = info.matchAll(/^slave\d+:ip=(.+?),port=(\d+),state=(\w+),offset=\d+,lag=(-?\d+)/gm);
  return [...lines].map(([, host = '', port, state, lag]) => ({
    place: { host, port: Number(port) },
    isGood: state === 'online' && Number(lag) <= maxLagSeconds,
  }));
}

interface Primary {
  readonly place: Place;
  /** INFO replication. */
  readonly info: string;
}

/** Whether each primary has a replica to fail over to, and refuses entries without one. */
export function replicasCheck(primaries: readonly Primary[]): Check {
  const name = 'redis replicas';
  const facts = primaries.map(({ place, info }) => ({
    place: placeText(place),
    good: replicasOf(info).filter(({ isGood }) => isGood).length,
    // INFO has this field only where min-replicas-to-write is above 0.
    waits: /^min_slaves_good_slaves:/m.test(info),
  }));
  const text = facts.map(
    ({ place, good }) => `${place} has ${plural(good, 'replica', 'replicas')}`,
  );
  const alone = facts.filter(({ good }) => good === 0).map(({ place }) => place);
  if (alone.length > 0) {
    return warning(name, `${alone.join(', ')}: no replica that copies, so nothing to fail over to`);
  }
  const eager = facts.filter(({ waits }) => !waits).map(({ place }) => place);
  if (eager.length > 0) {
    const message = `${text.join(', ')}; min-replicas-to-write is 0 at ${eager.join(', ')}: a primary that is cut off accepts entries which a failover loses; min-replicas-to-write 1`;
    return warning(name, message);
  }
  return ok(name, `${text.join(', ')}, min-replicas-to-write is set`);
}

/** Milliseconds that a server's clock is ahead, from its reply to TIME. */
export function skewOf(reply: unknown): number {
  const [seconds, micros] = Array.isArray(reply) ? reply.map(Number) : [];
  return Math.round((seconds ?? Number.NaN) * 1000 + (micros ?? 0) / 1000 - Date.now());
}

/** The clocks of all servers: after a failover another one makes the entry ids. */
export function clocksCheck(skews: readonly Result<number>[]): Check {
  const name = 'clocks of the servers';
  const known = skews.filter(succeeded);
  const wrong = known.filter(({ value }) => !(Math.abs(value) <= maxSkewMs));
  if (wrong.length > 0) {
    const text = wrong.map(({ place, value }) => `${placeText(place)} is ${value} ms ahead`);
    return warning(name, `${text.join(', ')} of this machine: set the clocks`);
  }
  const silent = skews.filter((one) => !succeeded(one));
  if (silent.length > 0) {
    const text = silent.map((one) => `${placeText(one.place)} (${codeOf(one)})`);
    return unknown(name, `no reply to TIME of ${text.join(', ')}`);
  }
  const largest = Math.max(...known.map(({ value }) => Math.abs(value)));
  return ok(name, `${plural(known.length, 'server', 'servers')}, at most ${largest} ms off`);
}
