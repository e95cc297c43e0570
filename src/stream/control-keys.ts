/** The keys beside the stream that instances and operators share. */
export interface ControlKeys {
  /** A string, JSON; consumption stands still on all instances while it is there. */
  readonly paused: string;
  /** A small stream of requests to all running instances. */
  readonly requests: string;
  /** A stream: what operators changed, when, and who they said they were. */
  readonly audit: string;
  /** A hash: entry id to how often it was tried alone without being survived. */
  readonly suspects: string;
  /** A hash: consumer name to the token of the process that used it last. */
  readonly holders: string;
  /** A hash: group to what the last look before a read noted of its progress. */
  readonly counter: string;
  /** A sorted set: the entries that were dead-lettered last. */
  readonly moved: string;
  /** A hash: what instances counted as lost in the last day. */
  readonly lost: string;
  /** A hash: entries and bytes of the dead-letter stream, and how many its limits dropped. */
  readonly deadLetters: string;
}

/** All under one prefix, so that one rule of an ACL covers them. */
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
