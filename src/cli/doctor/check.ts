export const checkStates = ['ok', 'warning', 'failure', 'unknown'] as const;
export type CheckState = (typeof checkStates)[number];

/** One thing that was looked at before a deploy. */
export interface Check {
  readonly name: string;
  readonly state: CheckState;
  /** What was found and, unless it is well, what to do. */
  readonly message: string;
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
/** Could not be looked at, for example because an ACL refuses the question. */
export const unknown = (name: string, message: string): Check => ({
  name,
  state: 'unknown',
  message,
});
