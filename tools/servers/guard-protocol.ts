/** What a server's owner and its guard say to each other over the guard's IPC channel. */

export interface SystemUser {
  readonly uid: number;
  readonly gid: number;
}

export type GuardRequest =
  | {
      readonly op: 'open';
      /** Prefix of the fresh folder, an absolute path. */
      readonly prefix: string;
      readonly user: SystemUser | null;
    }
  | {
      readonly op: 'run';
      readonly run: number;
      readonly command: string;
      readonly args: readonly string[];
      readonly cwd: string;
      /** File that takes standard output and error. */
      readonly log: string;
      /** null: the guard's own user. */
      readonly user: SystemUser | null;
      /** How the guard ends it. */
      readonly lastSignal: NodeJS.Signals;
      /** Where PostgreSQL notes its shared memory; null for everything else. */
      readonly postmasterPid: string | null;
    };

export type GuardReport =
  | { readonly event: 'opened'; readonly folder: string }
  | { readonly event: 'open_failed'; readonly message: string }
  | { readonly event: 'running'; readonly run: number; readonly pid: number }
  | { readonly event: 'run_failed'; readonly run: number; readonly message: string }
  | {
      readonly event: 'ended';
      readonly run: number;
      readonly code: number | null;
      readonly signal: NodeJS.Signals | null;
    };

export function isGuardRequest(message: unknown): message is GuardRequest {
  return typeof message === 'object' && message !== null && 'op' in message;
}

export function isGuardReport(message: unknown): message is GuardReport {
  return typeof message === 'object' && message !== null && 'event' in message;
}
