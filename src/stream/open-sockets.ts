import type { Socket } from 'node:net';
import { type Place, placeText } from './place.ts';

/** Open sockets by the server that each was opened to. */
export class OpenSockets {
  readonly #places = new Map<Socket, string>();

  add(socket: Socket, place: Place): void {
    this.#places.set(socket, placeText(place));
    socket.once('close', () => this.#places.delete(socket));
  }

  /** Ends those to other servers; each owner sees a lost connection. @returns how many */
  endExcept(place: Place): number {
    const kept = placeText(place);
    const others = [...this.#places].filter(([, text]) => text !== kept);
    for (const [socket] of others) socket.destroy();
    return others.length;
  }
}
