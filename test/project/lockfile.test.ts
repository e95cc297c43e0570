import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';

interface Locked {
  readonly version?: string;
  readonly optionalDependencies?: Readonly<Record<string, string>>;
}

test('the lock file names every optional platform package: npm 11 refuses `npm ci` without', () => {
  const text = readFileSync(new URL('../../package-lock.json', import.meta.url), 'utf8');
  const packages: Record<string, Locked> = JSON.parse(text).packages;
  const missing = Object.entries(packages).flatMap(([path, locked]) =>
    Object.keys(locked.optionalDependencies ?? {}).filter(
      (name) =>
        packages[`node_modules/${name}`]?.version === undefined &&
        packages[`${path}/node_modules/${name}`]?.version === undefined,
    ),
  );
  expect(missing).toEqual([]);
});
