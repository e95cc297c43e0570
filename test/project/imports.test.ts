import { globSync, readFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';

const source = fileURLToPath(new URL('../../src/', import.meta.url));

/** A static or dynamic import, a re-export and a type import alike. */
const specifier = /(?:\bfrom|\bimport)\s*\(?\s*['"](\.{1,2}\/[^'"]+)['"]/g;

/** Each file under src/ with the files of the project that it imports. */
function importGraph(): Map<string, readonly string[]> {
  const files = globSync('**/*.ts', { cwd: source });
  return new Map(
    files.map((file) => {
      const text = readFileSync(join(source, file), 'utf8');
      const imported = [...text.matchAll(specifier)].map(([, path = '']) =>
        relative(source, join(source, dirname(file), path)),
      );
      return [file, imported];
    }),
  );
}

/** Every cycle that a depth-first walk closes, as the files along it. */
function findCycles(graph: ReadonlyMap<string, readonly string[]>): string[] {
  const finished = new Set<string>();
  const cycles: string[] = [];
  const visit = (file: string, path: readonly string[]): void => {
    const start = path.indexOf(file);
    if (start >= 0) {
      cycles.push([...path.slice(start), file].join(' -> '));
      return;
    }
    if (finished.has(file)) return;
    for (const next of graph.get(file) ?? []) visit(next, [...path, file]);
    finished.add(file);
  };
  for (const file of graph.keys()) visit(file, []);
  return cycles;
}

describe('the import graph of src/', () => {
  const graph = importGraph();

  test('names only files that exist, so that no import escapes the walk', () => {
    const missing = [...graph.entries()].flatMap(([file, imported]) =>
      imported
        .filter((path) => path.endsWith('.ts') && !path.startsWith('..') && !graph.has(path))
        .map((path) => `${file} -> ${path}`),
    );
    expect(missing).toEqual([]);
  });

  test('includes type imports and imports on demand', () => {
    expect(graph.get('lifecycle/watchdog.ts')).toContain('lifecycle/watchdog-worker.ts');
    expect(graph.get('processor.ts')).toContain('main.ts');
    expect(graph.size).toBeGreaterThan(100);
  });

  test('has no cycle, type imports included', () => {
    expect(findCycles(graph)).toEqual([]);
  });
});

describe('the search for cycles', () => {
  test('reports a cycle of any length, and a file that imports itself', () => {
    const graph = new Map([
      ['a', ['b']],
      ['b', ['c', 'd']],
      ['c', ['a']],
      ['d', ['d']],
      ['e', ['b']],
    ]);
    expect(findCycles(graph)).toEqual(['a -> b -> c -> a', 'd -> d']);
  });

  test('accepts two paths to the same file', () => {
    const graph = new Map([
      ['a', ['b', 'c']],
      ['b', ['d']],
      ['c', ['d']],
      ['d', []],
    ]);
    expect(findCycles(graph)).toEqual([]);
  });
});
