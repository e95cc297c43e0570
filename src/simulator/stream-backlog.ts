import type { Redis } from 'ioredis';

/** What one consumer group still has to do. */
export interface GroupBacklog {
  readonly group: string;
  /** Entries not yet delivered; null when Redis does not know. */
  readonly lag: number | null;
  /** Entries delivered and not yet acknowledged. */
  readonly pending: number;
}

/** The groups of a stream; none when there is no such stream. The connection must speak RESP2. */
export async function groupBacklogs(redis: Redis, stream: string): Promise<GroupBacklog[]> {
  if ((await redis.exists(stream)) === 0) return [];
  const groups: unknown = await redis.call('XINFO', 'GROUPS', stream);
  if (!Array.isArray(groups)) return [];
  return groups.map((group: unknown) => {
    const facts = new Map<string, unknown>();
    if (Array.isArray(group)) {
      for (let at = 0; at + 1 < group.length; at += 2) facts.set(String(group[at]), group[at + 1]);
    }
    const lag = facts.get('lag');
    return {
      group: String(facts.get('name')),
      lag: typeof lag === 'number' ? lag : null,
      pending: Number(facts.get('pending') ?? 0),
    };
  });
}

/** Entries that the slowest group has before it; the whole stream when there is no group. */
export async function streamBacklog(redis: Redis, stream: string): Promise<number> {
  const groups = await groupBacklogs(redis, stream);
  const length = await redis.xlen(stream);
  if (groups.length === 0) return length;
  return Math.max(...groups.map(({ lag, pending }) => (lag ?? length) + pending));
}
