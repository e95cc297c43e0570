import type { Redis } from 'ioredis';
import { DependencyError } from '../core/types.ts';
import { encodeCommands, ReplyEnd } from './raw-replies.ts';

/** A connection that returns replies as bytes. */
export interface RawConnection {
  readonly isOpen: boolean;
  /**
   * Sends commands in one write. @returns the concatenated replies, as Redis wrote them
   * @throws DependencyError if the connection ends first
   */
  ask(commands: readonly (readonly string[])[]): Promise<Buffer>;
  close(): void;
}

/**
 * Takes over the socket of a connection that ioredis has opened and authenticated. From then on
 * ioredis sends and parses nothing on it: its reply path allocates an object for every name and
 * value, thousands per second here (decision 0016).
 */
export function takeOver(redis: Redis): RawConnection {
  const socket = redis.stream;
  let asked: {
    end: ReplyEnd;
    resolve: (reply: Buffer) => void;
    reject: (e: Error) => void;
  } | null = null;
  let received: Buffer[] = [];
  let isOpen = true;

  function onData(data: Buffer): void {
    received.push(data);
    if (asked === null) return;
    if (!asked.end.push(data)) return;
    const reply = received.length === 1 ? data : Buffer.concat(received);
    const { resolve } = asked;
    asked = null;
    received = [];
    resolve(reply);
  }

  function onClose(): void {
    isOpen = false;
    received = [];
    asked?.reject(
      new DependencyError('redis', 'unavailable', 'CONNECTION', 'redis ended the connection'),
    );
    asked = null;
    // ioredis would reconnect, and the new connection would stay unused.
    redis.disconnect();
  }

  socket.removeAllListeners('data');
  socket.on('data', onData);
  socket.once('close', onClose);
  return {
    get isOpen() {
      return isOpen;
    },
    ask(commands) {
      return new Promise((resolve, reject) => {
        if (!isOpen || asked !== null) {
          reject(
            new DependencyError('redis', 'unavailable', 'CONNECTION', 'the connection is not free'),
          );
          return;
        }
        asked = { end: new ReplyEnd(commands.length), resolve, reject };
        socket.write(encodeCommands(commands));
      });
    },
    close() {
      socket.destroy();
    },
  };
}
