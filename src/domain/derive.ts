import type { Evaluation } from './evaluation.ts';
import { step } from './step.ts';
import type { Crossing, DomainOptions, Fix } from './types.ts';

/**
 * The definition of what is right: all usable fixes of a device, oldest first, from the first one on.
 * `recompute` must give the same, in whatever order and parts it is called; `domain verify` compares.
 */
export function derive(
  fixes: readonly Fix[],
  evaluations: readonly Evaluation[],
  options: DomainOptions,
): Crossing[] {
  const found: Crossing[] = [];
  for (const evaluation of evaluations) {
    let inside = false;
    let previous: Fix | null = null;
    for (const fix of fixes) {
      inside = step(evaluation, inside, previous, fix, options, found);
      previous = fix;
    }
  }
  return found;
}
