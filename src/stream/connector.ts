import { isIP, type Socket, connect as tcp } from 'node:net';
import { type ConnectionOptions, connect as tlsConnect } from 'node:tls';
import { AbstractConnector } from 'ioredis';
import type { Place } from './place.ts';

/** Time for a closed connection to end before it is destroyed. */
const disconnectTimeoutMs = 2000;

export interface ConnectorOptions {
  /** Null: plain text. */
  readonly tls: ConnectionOptions | null;
  readonly onSocket?: (socket: Socket, place: Place) => void;
  readonly onNotFound?: () => void;
}

/**
 * Makes the part of ioredis that opens a socket, which finds its server at every connect.
 * The connectors of ioredis retry without end inside `connect` while no sentinel answers
 * (bullmq#4378); this one rejects, and the caller decides.
 */
export function connectorTo(
  find: () => Promise<Place>,
  { tls, onSocket, onNotFound }: ConnectorOptions,
): new () => AbstractConnector {
  return class extends AbstractConnector {
    constructor() {
      super(disconnectTimeoutMs);
    }

    override async connect(): Promise<Socket> {
      this.connecting = true;
      const place = await this.#find();
      // disconnect() was called meanwhile.
      if (!this.connecting) throw new Error('Connection is closed.');
      const socket = tls === null ? tcp({ ...place }) : tlsConnect(tlsOptions(place, tls));
      this.stream = socket;
      onSocket?.(socket, place);
      socket.once('error', (error: Error) => {
        this.firstError = error;
      });
      return socket;
    }

    /** The base class would wait for the end of a socket that has ended, and keep the process alive. */
    override disconnect(): void {
      if (this.stream?.destroyed === true) this.connecting = false;
      else super.disconnect();
    }

    async #find(): Promise<Place> {
      try {
        return await find();
      } catch (error) {
        onNotFound?.();
        throw error;
      }
    }
  };
}

/** The certificate must name the host that was found; an address is no server name. */
function tlsOptions(place: Place, tls: ConnectionOptions): ConnectionOptions {
  return { ...tls, ...place, ...(isIP(place.host) === 0 && { servername: place.host }) };
}
