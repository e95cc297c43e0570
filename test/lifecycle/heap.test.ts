import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';

const module = new URL('../../src/lifecycle/heap.ts', import.meta.url).href;

/** Keeps 40 MB, replaces them by new ones piece by piece, and prints its major collections. */
const program = `
const { limitHeapGrowth } = await import(process.argv[1]);
if (process.argv[2] === 'limited') limitHeapGrowth();
const kept = [];
for (let turn = 0; turn < 2_000_000; turn += 1) kept[turn % 10_000] = new Array(500).fill(turn);
await new Promise((resolve) => setImmediate(resolve));
`;

/** Lines of the collector's trace, which do not depend on the speed of the machine. */
async function majorCollections(growth: 'limited' | 'own'): Promise<number> {
  const words = ['--trace-gc', '--max-semi-space-size=16', '--max-old-space-size=4096'];
  const script = ['--input-type=module', '--eval', program, module, growth];
  const { stdout } = await promisify(execFile)(process.execPath, [...words, ...script]);
  return stdout.split('\n').filter((line) => line.includes('Mark-Compact')).length;
}

test('the old generation is collected more often than V8 chooses with much memory', async () => {
  const own = await majorCollections('own');
  expect(await majorCollections('limited')).toBeGreaterThan(own);
});
