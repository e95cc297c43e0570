import type { DependencyError } from '../core/types.ts';
import { scrub } from '../observability/scrub.ts';
import { printable } from './printable.ts';

/** A failure of a server on one line, with the cause, which names the address. */
export function failureText(error: DependencyError): string {
  const cause = error.cause instanceof Error ? ` (${scrub(error.cause.message)})` : '';
  return printable(`${scrub(error.message)}${cause}`);
}
