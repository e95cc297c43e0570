export const checkStates = ['ok', 'warning', 'failure', 'unknown'] as const;
export type CheckState = (typeof checkStates)[number];

/** The result of one check before a deploy. */
export interface Check {
  readonly name: string;
  readonly state: CheckState;
  /** What was found and, unless the state is `ok`, what to do. */
  readonly message: string;
  /** The shards that it is about; absent without shards, and where it is about no shard. */
  readonly shards?: readonly number[];
}

export const ok = (name: string, message: string): Check => ({ name, state: 'ok', message });
export const warning = (name: string, message: string): Check => ({
  name,
  state: 'warning',
  message,
});
export const failure = (name: string, message: string): Check => ({
  name,
  state: 'failure',
  message,
});
/** The check could not run, for example because an ACL refuses its command. */
export const unknown = (name: string, message: string): Check => ({
  name,
  state: 'unknown',
  message,
});
