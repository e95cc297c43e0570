import type { SimulatedEntry } from './entry.ts';
import type { Sender } from './sender.ts';

/**
 * Sends each entry to the shard of its device. A batch is sent when every shard has its part, so a
 * shard whose node is away holds the fleet up, as a full buffer of a producer would.
 * @param senders one for each shard, in order
 * @param shardOf the shard of a device
 */
export function createShardedSender(
  senders: readonly Sender[],
  shardOf: (deviceId: string) => number,
): Sender {
  function partsOf(entries: readonly SimulatedEntry[]): SimulatedEntry[][] {
    const parts: SimulatedEntry[][] = senders.map(() => []);
    for (const entry of entries) parts[shardOf(deviceOf(entry))]?.push(entry);
    return parts;
  }

  return {
    async connect() {
      await Promise.all(senders.map((sender) => sender.connect()));
    },
    async send(entries) {
      const parts = partsOf(entries);
      const sent = await Promise.allSettled(
        senders.map((sender, shard) => {
          const part = parts[shard] ?? [];
          return part.length === 0 ? part : sender.send(part);
        }),
      );
      // Only now: the other shards have noted in the ledger what they confirmed.
      const failed = sent.find((one) => one.status === 'rejected');
      if (failed !== undefined) throw failed.reason;
      return sent.flatMap((one) => (one.status === 'fulfilled' ? one.value : []));
    },
    async backlog() {
      const found = await Promise.all(senders.map((sender) => sender.backlog()));
      return found.reduce((sum, one) => sum + one, 0);
    },
    close() {
      for (const sender of senders) sender.close();
    },
  };
}

/** The IMEI as the entry names it; empty in an entry that names none. */
function deviceOf({ fields }: SimulatedEntry): string {
  for (let index = 0; index < fields.length; index += 2) {
    if (String(fields[index]) === 'device_id') return String(fields[index + 1] ?? '');
  }
  return '';
}
