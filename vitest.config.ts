import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    pool: 'forks',
    // Two cores, and tests that mostly wait for servers and processes.
    maxWorkers: 3,
    // No test takes a third of this on a quiet machine: a busy one must not turn the suite red.
    testTimeout: 180_000,
    hookTimeout: 180_000,
    globalSetup: ['test/setup/global-setup.ts'],
    reporters: ['./test/setup/progress-reporter.ts', './test/setup/summary-reporter.ts'],
  },
});
