import { DefaultReporter } from 'vitest/node';

/**
 * vitest's own reporter without its counts, which count a test whose suite failed as skipped. The
 * run's only counts are those of summary-reporter.ts.
 */
export default class ProgressReporter extends DefaultReporter {
  override reportTestSummary(): void {
    const seconds = Math.round((this.end - this.start) / 1_000);
    this.log(`\ntime: ${Math.floor(seconds / 60)} min ${seconds % 60} s\n`);
  }
}
