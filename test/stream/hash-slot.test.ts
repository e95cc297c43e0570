import { expect, test } from 'vitest';
import { parseSlots } from '../../src/stream/cluster-owner.ts';
import { slotOf } from '../../src/stream/hash-slot.ts';

/** The vector of the specification, and slots that CLUSTER KEYSLOT of Redis 7.0.15 answered. */
test.each([
  ['123456789', 0x31c3],
  ['', 0],
  ['foo', 12_182],
  ['{user1000}.following', 3443],
  ['{user1000}.followers', 3443],
  ['foo{}{bar}', 8363],
  ['foo{{bar}}zap', 4015],
  ['foo{bar}{zap}', 5061],
  ['foo{bar', 15_278],
  ['telemetry:teltonika', 1830],
  ['telemetry:teltonika:dlq', 10_447],
  ['{telemetry:teltonika}:dlq', 1830],
  ['telemetry:teltonika:{0}', 13_907],
  ['{ü}', 9552],
])('%j is in slot %i', (key, slot) => {
  expect(slotOf(key)).toBe(slot);
});

const asked = { host: 'asked', port: 7000 };
const same = <Value>(value: Value): Value => value;

test('CLUSTER SLOTS names the primary of each range first', () => {
  const reply = [
    [0, 5460, ['10.0.0.1', 7000, 'id1', []], ['10.0.0.2', 7001, 'id2', []]],
    [5461, 16_383, ['', 7002, 'id3', []]],
  ];

  expect(parseSlots(reply, asked, same)).toEqual([
    {
      from: 0,
      to: 5460,
      nodes: [
        { host: '10.0.0.1', port: 7000 },
        { host: '10.0.0.2', port: 7001 },
      ],
    },
    // An empty host stands for the node that was asked.
    { from: 5461, to: 16_383, nodes: [{ host: 'asked', port: 7002 }] },
  ]);
});

test('a node that announces no name is left out, and addresses are mapped', () => {
  const reply = [
    [0, 1, ['?', 7000, 'id1'], ['10.0.0.2', 7001, 'id2']],
    [2, 3, [null, 7002, 'id3'], ['?', 7003, 'id4']],
  ];
  const toOther = ({ port }: { port: number }) => ({ host: 'mapped', port });

  expect(parseSlots(reply, asked, toOther)).toEqual([
    { from: 2, to: 3, nodes: [{ host: 'mapped', port: 7002 }] },
  ]);
  expect(parseSlots('nonsense', asked, same)).toEqual([]);
});
