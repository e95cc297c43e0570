import type { ConfigProblem } from './types.ts';
import { variables } from './variables.ts';

/** The required order of pairs: deadlines nest, and budgets hold at least one batch. */
export const order = [
  ['lockTimeoutMs', 'statementTimeoutMs', 'below'],
  ['statementTimeoutMs', 'insertDeadlineMs', 'below'],
  ['insertDeadlineMs', 'drainBudgetMs', 'below'],
  ['drainBudgetMs', 'claimThresholdMs', 'below'],
  ['blockMs', 'consumerIdleMs', 'below'],
  ['breakerMinSamples', 'breakerSamples', 'at most'],
  ['batchRows', 'inFlightRecords', 'at most'],
  ['batchBytes', 'inFlightBytes', 'at most'],
] as const;

type Ordered = (typeof order)[number][0 | 1];

/** Null where a value is missing or wrong, which `loadConfig` reports. */
export type OrderedValues = { readonly [Key in Ordered]: number | null };

export function orderProblems(values: OrderedValues): ConfigProblem[] {
  const problems: ConfigProblem[] = [];
  for (const [lower, upper, relation] of order) {
    const low = values[lower];
    const high = values[upper];
    if (low === null || high === null || low < high || (relation === 'at most' && low === high))
      continue;
    const { name, default: fallback } = variables[lower];
    problems.push({
      variable: name,
      got: `${low}, with ${variables[upper].name}=${high}`,
      expected: `a value ${relation} ${variables[upper].name}`,
      example: `${name}=${fallback} and ${variables[upper].name}=${variables[upper].default}`,
    });
  }
  return problems;
}
