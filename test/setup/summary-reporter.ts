import type {
  Reporter,
  SerializedError,
  TestCase,
  TestModule,
  TestRunEndReason,
  TestSuite,
  Vitest,
} from 'vitest/node';

interface Summary {
  passed: number;
  failed: number;
  skipped: number;
  /** Names by what to say about them. */
  readonly listed: Map<string, string[]>;
}

/**
 * Prints the end of a run: the tests that did not run, grouped by reason, and the run's only
 * counts, alone on the last line: `tests: N passed, N failed, N skipped`, which CI reads. A file
 * or suite that failed outside its tests is one failure, and its tests are neither passed nor
 * failed nor skipped.
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
    const summary: Summary = {
      passed: 0,
      failed: unhandledErrors.length,
      skipped: 0,
      listed: new Map(),
    };
    const isSelection = this.#vitest?.config.testNamePattern !== undefined;
    for (const module of modules) addModule(module, summary, isSelection);
    // The run failed without a failed test: the line must not look like a success.
    if (reason !== 'passed' && summary.failed === 0) summary.failed = 1;
    this.#vitest?.logger.log(linesOf(summary).join('\n'));
  }
}

function linesOf({ passed, failed, skipped, listed }: Summary): readonly string[] {
  const groups = [...listed].flatMap(([heading, names]) => [
    heading.replace('%', names.length === 1 ? '1 test' : `${names.length} tests`),
    ...names.map((name) => `  ${name}`),
  ]);
  return [...groups, `tests: ${passed} passed, ${failed} failed, ${skipped} skipped`];
}

function addModule(module: TestModule, summary: Summary, isSelection: boolean): void {
  for (const suite of [module, ...module.children.allSuites()]) {
    if (suite.errors().length === 0) continue;
    summary.failed += 1;
    list(summary, 'failed, outside its tests:', nameOf(suite));
  }
  for (const test of module.children.allTests()) addTest(test, summary, isSelection);
}

function addTest(test: TestCase, summary: Summary, isSelection: boolean): void {
  const { state } = test.result();
  if (state === 'passed' || state === 'failed') {
    summary[state] += 1;
  } else if (state === 'pending') {
    // A test that never ended is not a test that passed.
    summary.failed += 1;
    list(summary, 'failed, %: did not end', nameOf(test));
  } else if (hasFailedSuite(test)) {
    list(summary, 'not run, %: the suite failed', nameOf(test));
  } else {
    summary.skipped += 1;
    if (!isSelection) list(summary, `skipped, %: ${reasonOf(test)}`, nameOf(test));
  }
}

function hasFailedSuite(test: TestCase): boolean {
  let suite = test.parent;
  while (suite.type === 'suite' && suite.errors().length === 0) suite = suite.parent;
  return suite.errors().length > 0;
}

function reasonOf(test: TestCase): string {
  const result = test.result();
  const note = result.state === 'skipped' ? result.note : undefined;
  return test.meta().needs ?? note ?? 'no reason given';
}

function nameOf(task: TestModule | TestCase | TestSuite): string {
  if (task.type === 'module') return task.relativeModuleId;
  return `${task.module.relativeModuleId} > ${task.fullName}`;
}

function list({ listed }: Summary, heading: string, name: string): void {
  const names = listed.get(heading) ?? [];
  listed.set(heading, [...names, name]);
}
