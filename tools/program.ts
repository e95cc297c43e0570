import { fileURLToPath } from 'node:url';

const source = fileURLToPath(new URL('../src/processor.ts', import.meta.url));

/**
 * The file that a process starts as `processor`: PROCESSOR_PROGRAM if set, else the source. The
 * test run sets it to its bundle, the benchmark to what is deployed.
 */
export function programFile(): string {
  return process.env.PROCESSOR_PROGRAM ?? source;
}
