import type { Socket } from 'node:net';

/** Bounds the open connections: when there are too many, one of them is closed. */
export interface HttpConnections {
  /** Admits a new connection; at the limit it closes another one first. */
  admit(socket: Socket): void;
  /** A request has arrived on this connection; connections that wait for one are closed first. */
  beginAnswer(socket: Socket): void;
  endAnswer(socket: Socket): void;
}

interface Connection {
  readonly socket: Socket;
  readonly address: string;
  answers: number;
}

/**
 * Closes a connection of the client with the most connections: the oldest idle one, otherwise the
 * oldest one. So no client can lock out another client or its own next request.
 * @param onEvicted called with the address of the client whose connection was closed
 */
export function createHttpConnections(
  max: number,
  onEvicted: (address: string) => void,
): HttpConnections {
  /** In the order they were opened. */
  const open = new Map<Socket, Connection>();

  function evictOne(): void {
    const victim = chooseVictim([...open.values()]);
    if (victim === undefined) return;
    open.delete(victim.socket);
    // Closes the file descriptor at once, also when the client does not read.
    victim.socket.destroy();
    onEvicted(victim.address);
  }

  return {
    admit(socket) {
      if (open.size >= max) evictOne();
      open.set(socket, { socket, address: socket.remoteAddress ?? 'unknown', answers: 0 });
      socket.once('close', () => open.delete(socket));
    },
    beginAnswer(socket) {
      const connection = open.get(socket);
      if (connection !== undefined) connection.answers += 1;
    },
    endAnswer(socket) {
      const connection = open.get(socket);
      if (connection !== undefined) connection.answers -= 1;
    },
  };
}

function chooseVictim(connections: readonly Connection[]): Connection | undefined {
  const counts = new Map<string, number>();
  for (const { address } of connections) counts.set(address, (counts.get(address) ?? 0) + 1);
  const max = Math.max(...counts.values());
  const ofTheLargest = connections.filter(({ address }) => counts.get(address) === max);
  return ofTheLargest.find(({ answers }) => answers === 0) ?? ofTheLargest[0];
}
