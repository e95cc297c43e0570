import { DependencyError } from '../../core/types.ts';
import type { Place } from '../../stream/topology.ts';

/** What one server answered, or why it did not. */
export type Result<Value> =
  | { readonly place: Place; readonly value: Value }
  | { readonly place: Place; readonly error: DependencyError };

export function succeeded<Value>(
  result: Result<Value>,
): result is { readonly place: Place; readonly value: Value } {
  return 'value' in result;
}

/** The error code of a result without a value. */
export function codeOf(result: Result<unknown>): string {
  return 'error' in result ? result.error.code : 'nothing';
}

/** @throws an error that is no failure of the server */
export async function attempt<Value>(
  place: Place,
  ask: () => Promise<Value>,
): Promise<Result<Value>> {
  try {
    return { place, value: await ask() };
  } catch (error) {
    if (!(error instanceof DependencyError)) throw error;
    return { place, error };
  }
}
