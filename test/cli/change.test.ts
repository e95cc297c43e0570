import { once } from 'node:events';
import { PassThrough } from 'node:stream';
import { describe, expect, test } from 'vitest';
import { askConsent } from '../../src/cli/change.ts';

const flags = { dryRun: false, yes: false, json: false };

/** A command at a terminal that has asked, and the operator's keys. */
async function asked() {
  const stdin = Object.assign(new PassThrough(), { isTTY: true });
  const stderr = Object.assign(new PassThrough(), { isTTY: true });
  const stopping = new AbortController();
  const io = { stdin, stderr, env: {}, stdout: new PassThrough(), signal: stopping.signal };
  const consent = askConsent(io, flags, 'delete it');
  await once(stderr, 'data');
  return { consent, stdin, stopping };
}

describe('the question before a change', () => {
  test.each([
    ['y\r', 'given'],
    ['YES\r', 'given'],
    ['n\r', 'refused'],
    ['\r', 'refused'],
    ['yesterday\r', 'refused'],
  ])('answered with %j is consent %s', async (keys, expected) => {
    const { consent, stdin } = await asked();
    stdin.write(keys);
    expect(await consent).toBe(expected);
  });

  test.each([
    ['Ctrl-C', '\u0003'],
    ['Ctrl-D', '\u0004'],
  ])('answered with %s is refused, and no bug', async (_, key) => {
    const { consent, stdin } = await asked();
    stdin.write(key);
    expect(await consent).toBe('refused');
  });

  test('is refused when the terminal goes away', async () => {
    const { consent, stdin } = await asked();
    stdin.end();
    expect(await consent).toBe('refused');
  });

  test('is refused when the command is stopped', async () => {
    const { consent, stopping } = await asked();
    stopping.abort();
    expect(await consent).toBe('refused');
  });
});
