import type {
  Reporter,
  SerializedError,
  TestCase,
  TestModule,
  TestRunEndReason,
  Vitest,
} from 'vitest/node';

interface Counts {
  passed: number;
  failed: number;
  skipped: number;
}

/**
 * vitest's last words: each skipped test with the reason, then, alone on its line,
 * `tests: N passed, N failed, N skipped`, which CI reads.
 */
export default class SummaryReporter implements Reporter {
  #vitest: Vitest | null = null;

  onInit(vitest: Vitest): void {
    this.#vitest = vitest;
  }

  onTestRunEnd(
    modules: readonly TestModule[],
    unhandledErrors: readonly SerializedError[],
    reason: TestRunEndReason,
  ): void {
    const counts: Counts = { passed: 0, failed: unhandledErrors.length, skipped: 0 };
    const lines = modules.flatMap((module) => countTests(module, counts));
    // Whatever else ended the run, no test among it: the line must not look like a success.
    if (reason !== 'passed' && counts.failed === 0) counts.failed = 1;
    const { passed, failed, skipped } = counts;
    lines.push(`tests: ${passed} passed, ${failed} failed, ${skipped} skipped`);
    this.#vitest?.logger.log(lines.join('\n'));
  }
}

/** Adds the module's tests to the counts; the lines about its skipped tests. */
function countTests(module: TestModule, counts: Counts): string[] {
  const lines: string[] = [];
  counts.failed += errorsOutsideTests(module);
  for (const test of module.children.allTests()) {
    const { state } = test.result();
    // A test that never came to its end is no test that passed.
    counts[state === 'pending' ? 'failed' : state] += 1;
    if (state === 'skipped') lines.push(...skippedLines(test));
  }
  return lines;
}

/** A file that cannot be loaded or a hook of a suite that throws fails without a failed test. */
function errorsOutsideTests(module: TestModule): number {
  let errors = module.errors().length;
  for (const suite of module.children.allSuites()) errors += suite.errors().length;
  return errors;
}

function skippedLines(test: TestCase): readonly string[] {
  const result = test.result();
  const note = result.state === 'skipped' ? result.note : undefined;
  const reason = test.meta().needs ?? note ?? 'not run';
  return [`skipped: ${test.module.relativeModuleId} > ${test.fullName}`, `  ${reason}`];
}
