import type { BenchResult } from './main.ts';

/** One line of a table of targets. */
export interface Target {
  readonly measure: string;
  readonly target: string;
  /** The measured value and whether it meets the target; null when it was not measured. */
  readonly found: (result: BenchResult) => { text: string; met: boolean } | null;
}

/** A figure that must not be above a number. */
export function atMost(name: string, most: number, unit: string) {
  return (result: BenchResult) => {
    const value = result.figures[name]?.median;
    return value === undefined ? null : { text: `${value} ${unit}`, met: value <= most };
  };
}
