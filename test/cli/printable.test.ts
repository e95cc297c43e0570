import fc from 'fast-check';
import { expect, test } from 'vitest';
import { isPrintable, jsonLine, printable, printableLines } from '../../src/cli/printable.ts';
import { deadLetters, entryFields, imei, stream, useStack } from './stack.ts';

/** Clears the screen, sets the title, forges a line, and turns the direction of writing. */
const hostile = '\u001b[2J\u001b]0;title\u0007x\r\nall is well\u009b31m\u202e\u2066\u2028\u200bend';
const shown = 'all is well\\u{9b}31m\\u{202e}\\u{2066}\\u{2028}\\u{200b}end';
/** Several commands, each a process of its own. */
const commands = { timeout: 240_000 };
const stack = useStack();

test('is one line without any hidden character, and leaves other text as it is', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), (text) => {
      expect(isPrintable(printable(text))).toBe(true);
      if (isPrintable(text)) expect(printable(text)).toBe(text);
      expect(printableLines(text)).toBe(text.split('\n').map(printable).join('\n'));
      expect(isPrintable(jsonLine({ text }))).toBe(true);
      expect(JSON.parse(jsonLine({ text }))).toEqual({ text });
    }),
  );
  expect(printable('Šiauliai, Ünal, 東京')).toBe('Šiauliai, Ünal, 東京');
  expect(printableLines('\u001b[31mred\u001b[0m \u001b[2J')).toBe(
    '\u001b[31mred\u001b[0m \\u{1b}[2J',
  );
});

test('every view of what servers, devices and entries say is printable', commands, async () => {
  const { redis } = stack;
  await stack.processor('migrate', 'up', '--yes');
  await redis.xgroup('CREATE', stream, 'processor', '0', 'MKSTREAM');
  await redis.xadd(stream, '*', ...entryFields(1), hostile, hostile);
  await redis.xreadgroup('GROUP', 'processor', hostile, 'STREAMS', stream, '>');
  const rejection = { stage: 'decode', reason: 'field_missing', message: hostile };
  const facts = { ...rejection, entry_id: '1-1', instance: hostile, at: hostile, deliveries: '1' };
  const id = await redis.xadd(
    deadLetters,
    '*',
    ...Object.entries(facts).flat(),
    'f:device_id',
    imei(1),
    `f:${hostile}`,
    hostile,
  );
  const pause = { by: hostile, reason: hostile, at: hostile };
  await redis.set(`${stream}:control:paused`, JSON.stringify(pause));

  for (const words of [
    ['consumers', 'list'],
    ['pending', 'list'],
    ['status'],
    ['doctor'],
    ['verify'],
    ['dlq', 'list'],
    ['dlq', 'show', String(id)],
    ['dlq', 'stats'],
    ['dlq', 'export', '--to', '-'],
    ['device', 'show', imei(1)],
    ['consumers', 'remove', hostile, '--yes'],
    ['resume', '--yes'],
  ]) {
    await redis.set(`${stream}:control:paused`, JSON.stringify(pause));
    const json = words[0] === 'dlq' ? [[], ['--json']] : [[]];
    for (const more of json) {
      const { stdout, stderr } = await stack.processor(...words, ...more);
      const lines = `${stdout}\n${stderr}`.split('\n');
      expect(
        lines.filter((line) => !isPrintable(line)),
        words.join(' '),
      ).toEqual([]);
      // No line of its own was forged.
      expect(
        lines.filter((line) => line.startsWith('all is well\\u')),
        words.join(' '),
      ).toEqual([]);
    }
  }
  expect((await stack.processor('consumers', 'list')).stdout).toContain(shown);
  expect((await stack.processor('dlq', 'list')).stdout).toContain(shown);
});
