import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';

const root = fileURLToPath(new URL('../../', import.meta.url));
const listed = execFileSync('git', ['ls-files', '*.md'], { cwd: root, encoding: 'utf8' });
/** Their texts are in src/ and scripts/. */
const generated = ['docs/configuration.md', 'docs/metrics.md'];
const pages = listed.split('\n').filter((path) => path !== '' && !generated.includes(path));

/** Private words, and what CONTRIBUTING.md has instead. */
const refused: readonly (readonly [RegExp, string])[] = [
  [/\brooms?\b/i, 'module'],
  [/(?<!dead[- ])\bletters?\b/i, 'dead letter'],
  [/\banew\b|\baught\b|\bthereof\b/i, 'again'],
  [/\bmend(s|ed|ing)?\b/i, 'fix'],
  [/\bforms? [AB]\b/i, 'payload entry, frame entry'],
  [/\btwins?\b/i, 'duplicate'],
  [/\bwhoever\b|\bsomebody\b/i, 'the person, instance or role'],
  [/\bst(ands|ood) still\b/i, 'is blocked, is stalled'],
  [/\blone\b/i, 'single'],
  [/\bseclusion\b|\bupkeep\b/i, 'isolation, maintenance'],
  [/\bway back\b/i, 'down migration'],
  [/\bgoes on by itself\b/i, 'resumes by itself'],
];

/** The text of a page: code, link targets and the table of words to avoid are left out. */
function proseOf(path: string): string {
  return readFileSync(join(root, path), 'utf8')
    .replace(/^ *```.*?^ *```/gms, '')
    .replace(/`[^`\n]*`/g, '')
    .replace(/\]\([^)]*\)/g, ']')
    .replaceAll('never "letter"', '');
}

describe('the words of all pages', () => {
  test.each(pages)('%s has no private word', (path) => {
    const lines = proseOf(path).split('\n');
    const found = lines.flatMap((line) =>
      refused
        .filter(([word]) => word.test(line))
        .map(([, instead]) => `say "${instead}": ${line.slice(0, 200)}`),
    );
    expect(found).toEqual([]);
  });
});
