import type { Redis } from 'ioredis';
import { DependencyError } from '../core/types.ts';
import { encodeCommands, ReplyEnd } from './raw-replies.ts';

/** A connection whose replies come as bytes. */
export interface RawConnection {
  readonly isOpen: boolean;
  /**
   * Sends commands in one write. @returns their replies, one behind the other, as Redis wrote them
   * @throws DependencyError when the connection ends first
   */
  ask(commands: readonly (readonly string[])[]): Promise<Buffer>;
  close(): void;
}

/**
 * Takes over the socket of a connection that ioredis has opened and logged in. From here on ioredis
 * sends and parses nothing on it: its reply path makes an object of every name and value of every
 * entry, and here there are thousands a second (decision 0016).
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
    // It would connect anew by itself, and nobody would use that connection.
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
