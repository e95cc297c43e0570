import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { shardKey, shardOf } from '../../src/stream/shards.ts';

const page = readFileSync(new URL('../../docs/stream-contract.md', import.meta.url), 'utf8');

/** CRC-32/ISO-HDLC bit by bit, from its definition and not from zlib. */
function crc32(text: string): number {
  let crc = 0xffffffff;
  for (const byte of Buffer.from(text, 'ascii')) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit += 1) crc = crc & 1 ? (crc >>> 1) ^ 0xedb88320 : crc >>> 1;
  }
  return (crc ^ 0xffffffff) >>> 0;
}

/** The rows of the table of vectors: IMEI, checksum, and the shard of each number of shards. */
function vectors(): { imei: string; hex: string; shards: [count: number, shard: number][] }[] {
  const lines = page.split('\n');
  const head = lines.findIndex((line) => line.startsWith('| IMEI '));
  const counts = [...(lines[head] ?? '').matchAll(/shard of (\d+)/g)].map(([, one]) => Number(one));
  return lines.slice(head + 2).flatMap((line) => {
    const found = /^\| `(\d{15})` +\| `([0-9a-f]{8})` +\|(.*)\|$/.exec(line);
    if (found === null) return [];
    const [, imei = '', hex = '', rest = ''] = found;
    const shards = rest.split('|').map(Number);
    return [{ imei, hex, shards: counts.map((count, index) => [count, shards[index] ?? -1]) }];
  });
}

describe('the shard of a device', () => {
  test('is the one that docs/stream-contract.md shows, computed bit by bit and by the service', () => {
    expect(vectors().length).toBeGreaterThanOrEqual(6);
    expect(crc32('123456789').toString(16)).toBe('cbf43926');
    for (const { imei, hex, shards } of vectors()) {
      expect(crc32(imei).toString(16).padStart(8, '0'), imei).toBe(hex);
      for (const [count, shard] of shards) {
        expect([imei, count, crc32(imei) % count]).toEqual([imei, count, shard]);
        expect(shardOf(imei, count)).toBe(shard);
      }
    }
  });

  test('is one of all for any IMEI, and spreads consecutive ones', () => {
    const counts = new Array<number>(64).fill(0);
    for (let serial = 0; serial < 64_000; serial += 1) {
      const imei = String(356307042000000 + serial);
      const shard = shardOf(imei, 64);
      expect(shard === crc32(imei) % 64 && shard >= 0 && shard < 64).toBe(true);
      counts[shard] = (counts[shard] ?? 0) + 1;
    }
    expect(Math.min(...counts)).toBeGreaterThan(850);
    expect(Math.max(...counts)).toBeLessThan(1150);
  });
});

test('a shard is named after the stream, with its number as the hash tag', () => {
  expect(shardKey('telemetry:teltonika', 3)).toBe('telemetry:teltonika:{3}');
});
