import { describe, expect, test } from 'vitest';
import { assertComplete, optionalKeys } from '../../src/config/complete.ts';
import type { Values } from '../../src/config/types.ts';
import { variables } from '../../src/config/variables.ts';

/** Parses a variable's example, which a test in load.test.ts holds to its schema. */
const example = (key: keyof typeof variables) =>
  variables[key].schema.parse(variables[key].example);

function values(overrides: Partial<Values>): Values {
  const entries = Object.keys(variables)
    .filter((key): key is keyof typeof variables => Object.hasOwn(variables, key))
    .map((key) => [key, example(key)]);
  return { ...Object.fromEntries(entries), ...overrides };
}

describe('the completeness check of the configuration', () => {
  test('allows no value exactly for the variables without a default that are not required', () => {
    const withoutDefault = Object.entries(variables)
      .filter(([, { default: fallback, required }]) => fallback === null && !required)
      .map(([key]) => key);
    expect([...optionalKeys].sort()).toEqual(withoutDefault.sort());
  });

  test('accepts values of which every optional one is unset', () => {
    const unset = Object.fromEntries(optionalKeys.map((key) => [key, null]));
    expect(() => assertComplete(values(unset))).not.toThrow();
  });

  test('names each variable whose value is missing', () => {
    expect(() => assertComplete(values({ writers: null, postgresUrl: null }))).toThrow(
      new TypeError('configuration values missing: postgresUrl, writers'),
    );
  });
});
