import { once } from 'node:events';
import { connect as connectTcp } from 'node:net';
import type { Logger } from '../../src/core/types.ts';

/** A logger and the lines it got. */
export function recordingLog() {
  const lines: { readonly level: string; readonly msg: string; readonly fields: object }[] = [];
  const write = (level: string) => (fields: object, msg: string) =>
    void lines.push({ level, msg, fields });
  const log: Logger = {
    debug: write('debug'),
    info: write('info'),
    warn: write('warn'),
    error: write('error'),
  };
  return {
    log,
    lines,
    warnings: () => lines.filter(({ level }) => level === 'error' || level === 'warn'),
  };
}

/** Deterministic random numbers (mulberry32); the seed is in the test's name. */
export function randomNumbers(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

export function shuffled<Item>(items: readonly Item[], random: () => number): Item[] {
  return items
    .map((item) => ({ item, rank: random() }))
    .sort((a, b) => a.rank - b.rank)
    .map(({ item }) => item);
}

/** Listeners that the panic handler adds. */
export const listeners = () => ({
  exceptions: process.listenerCount('uncaughtException'),
  rejections: process.listenerCount('unhandledRejection'),
});

/** Threads of the watchdog; each has a message port while it runs. */
export const threads = () =>
  process.getActiveResourcesInfo().filter((resource) => resource === 'MessagePort').length;

export async function isListening(port: number): Promise<boolean> {
  const socket = connectTcp(port, '127.0.0.1');
  const answered = await Promise.race([
    once(socket, 'connect').then(() => true),
    once(socket, 'error').then(() => false),
  ]).catch(() => false);
  socket.destroy();
  return answered;
}
