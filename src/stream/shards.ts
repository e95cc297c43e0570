import { crc32 } from 'node:zlib';

/** Maximum number of shards: Redis Cluster spreads them over 16,384 slots. */
export const maxShards = 1024;

/**
 * Returns the name of a shard's stream. The hash tag puts the stream, its dead letters and its control
 * keys into one slot of a cluster, because their names all begin with this one.
 */
export function shardKey(name: string, shard: number): string {
  return `${name}:{${shard}}`;
}

/**
 * Returns the shard that a device's entries belong to: CRC-32 (IEEE, as zlib) of the 15 ASCII digits
 * of the IMEI, modulo the number of shards. Producers compute the same (docs/stream-contract.md).
 */
export function shardOf(deviceId: string, count: number): number {
  return crc32(deviceId) % count;
}
