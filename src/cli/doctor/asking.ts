import type { Place } from '../../stream/topology.ts';

/** Asks one server; never the login of the sentinels. */
export interface Asking {
  /** @throws DependencyError */
  readonly ask: (place: Place, words: readonly [string, ...string[]]) => Promise<unknown>;
  /** @throws DependencyError */
  readonly askSentinel: (place: Place, words: readonly [string, ...string[]]) => Promise<unknown>;
  /** Replaces an announced address by the one to use. */
  readonly translate: (place: Place) => Place;
}
