/** Keys that instances and operators share, next to the stream. */
export interface ControlKeys {
  /** String, JSON; while it exists, no instance consumes. */
  readonly paused: string;
  /** Stream: requests to all running instances; a short one. */
  readonly requests: string;
  /** Stream: what operators changed, when, and the name they gave. */
  readonly audit: string;
  /** Hash: entry id to its crash count in isolation. */
  readonly suspects: string;
  /** Hash: consumer name to the token of the process that used it last. */
  readonly holders: string;
  /** Hash: group to its progress, as noted by the last inspection before a read. */
  readonly counter: string;
  /** Sorted set: the entries that were dead-lettered most recently. */
  readonly moved: string;
  /** Hash: losses that instances counted in the last day. */
  readonly lost: string;
  /** Hash: entries and bytes of the dead-letter stream, and how many its limits dropped. */
  readonly deadLetters: string;
}

/** Returns the keys; all share one prefix, so that one ACL rule covers them. */
export function controlKeys(streamKey: string): ControlKeys {
  const prefix = `${streamKey}:control`;
  return {
    paused: `${prefix}:paused`,
    requests: `${prefix}:requests`,
    audit: `${prefix}:audit`,
    suspects: `${prefix}:suspects`,
    holders: `${prefix}:holders`,
    counter: `${prefix}:counter`,
    moved: `${prefix}:moved`,
    lost: `${prefix}:lost`,
    deadLetters: `${prefix}:dead_letters`,
  };
}
