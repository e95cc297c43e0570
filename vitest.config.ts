import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    pool: 'forks',
    // Two cores, shared with the Redis and PostgreSQL that the suite starts.
    maxWorkers: 2,
    testTimeout: 30_000,
    hookTimeout: 60_000,
    globalSetup: ['test/servers/global-setup.ts'],
    reporters: ['./test/servers/progress-reporter.ts', './test/servers/summary-reporter.ts'],
  },
});
