const serverErrorCodes = [
  'not_reachable',
  'no_program',
  'start_failed',
  'still_running',
  'guard_lost',
] as const;
export type ServerErrorCode = (typeof serverErrorCodes)[number];

/** Why a Redis or PostgreSQL for tests, demo or benchmark could not be had, and what to do. */
export class ServerError extends Error {
  readonly code: ServerErrorCode;

  constructor(code: ServerErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'ServerError';
    this.code = code;
  }
}
