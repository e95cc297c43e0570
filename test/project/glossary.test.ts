import { readFileSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { commands } from '../../src/cli/commands.ts';
import { runCommand } from '../cli/command.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));

/** Words that a reader has to translate, and the words of CONTRIBUTING.md to use instead. */
const words: readonly (readonly [pattern: RegExp, instead: string])[] = [
  [/\banew\b/, 'again, recreate'],
  [/\b(un)?mend(s|ed|ing)?\b/, 'fix'],
  [/\b(aught|thereof|whoever)\b/, 'name the actor'],
  [/\btwins?\b/, 'duplicate, shared'],
  [/\bseclu(de|des|ded|ding|sion)\b/, 'isolation'],
  [/\bcondemn(s|ed|ing)?\b/, 'dead-letter'],
  [/\b(tried|tries|try) alone\b/, 'process in isolation'],
  [/\bupkeep\b/, 'maintenance'],
  [/\b(is|are|was|were|be|been) told\b/, 'report, emit'],
  [/\bstands? still\b/, 'stalled, blocked'],
  [/\b(nothing|none|all) of ours\b/, 'the service'],
  [/\bgoes on by itself\b/, 'resume'],
  [/\bforms? [AB]\b/, 'payload entry, frame entry'],
  [/\b(rooms?|house) (of|under|in) (src|the code)\b/, 'module'],
  [/\bpatien(ce|tly)\b/, 'retry budget, backoff'],
  [/\bin force\b/, 'effective'],
  [/\bthe way back\b/, 'down migration'],
  [/\bis looked for\b/, 'look for'],
  [/(?<![\w./-])(?<!dead[- ])(?<!capital )(?<!")letters?\b(?![-_.:'])/i, 'dead letter'],
];

/** Interfaces: the text of a line that may hold a listed word. */
const allowed: readonly RegExp[] = [
  // JSON fields and options keep their names.
  /--letters-after|lettersAfter|letter_gone|[{,(] ?letters\b|\bletters: |\.letters\b|\b(let|readonly) letters\b|\bletters (\+=|===)|^\s+letters,$/,
];

interface Hit {
  readonly file: string;
  readonly line: number;
  readonly word: string;
  readonly instead: string;
}

function hitsIn(file: string, text: string): Hit[] {
  return unwrapped(text)
    .split('\n')
    .flatMap((line, index) => {
      if (allowed.some((pattern) => pattern.test(line))) return [];
      return words.flatMap(([pattern, instead]) => {
        const word = pattern.exec(line)?.[0];
        return word === undefined ? [] : [{ file, line: index + 1, word, instead }];
      });
    });
}

/** Joins "dead" and "letter" where a line ends between them; the count of lines stays. */
function unwrapped(text: string): string {
  return text.replace(/\bdead(\n[\s*/]*)(letters?)/gi, 'dead $2$1');
}

async function filesUnder(folder: string, ending: string): Promise<string[]> {
  const entries = await readdir(join(root, folder), { recursive: true, withFileTypes: true });
  return entries
    .filter((entry) => entry.isFile() && entry.name.endsWith(ending))
    .map((entry) => join(entry.parentPath, entry.name).slice(root.length).replace(/^\//, ''));
}

function show({ file, line, word, instead }: Hit): string {
  return `${file}:${line}: "${word}": say ${instead}`;
}

test('a listed word is found with file and line', () => {
  const text = 'fine\nthe group is made anew\na letter of the service\ndead\n * letters\n';
  expect(hitsIn('x.ts', text).map(show)).toEqual([
    'x.ts:2: "anew": say again, recreate',
    'x.ts:3: "letter": say dead letter',
  ]);
});

test('source and documents use the words of the glossary', async () => {
  const documents = (await readdir(root)).filter((name) => name.endsWith('.md'));
  const files = [
    ...(await filesUnder('src', '.ts')),
    ...(await filesUnder('docs', '.md')),
    ...documents,
  ];
  expect(files.length).toBeGreaterThan(200);
  const hits = files.flatMap((file) => hitsIn(file, readFileSync(join(root, file), 'utf8')));
  expect(hits.map(show)).toEqual([]);
});

test('the help of every command uses the words of the glossary', { timeout: 240_000 }, async () => {
  const hits: Hit[] = [];
  for (const words of [[], ['run'], ...commands.map(({ name }) => [name])]) {
    const { code, stdout } = await runCommand({}, [...words, '--help']);
    expect(code).toBe(0);
    hits.push(...hitsIn(`processor ${words.join(' ')} --help`, stdout));
  }
  expect(hits.map(show)).toEqual([]);
});
