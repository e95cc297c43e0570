/**
 * A TCP proxy that a test puts between the service and a server, to harm the network between
 * them while both live. Everything it does holds from the call until `heal`.
 */
import { createServer, connect as openSocket, type Server, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { freePort } from './ports.ts';

export interface TcpProxy {
  readonly port: number;
  /** The same URL, with the proxy's address in place of the server's. */
  through(url: string): string;
  /** Connections that are passed on at the moment. */
  connections(): number;
  /** Delays all bytes by this much, in each direction. */
  latency(ms: number): void;
  /** Resets all connections; new ones are welcome. @returns how many it were */
  cut(): number;
  /** Resets all connections and refuses new ones. */
  refuse(): Promise<void>;
  /**
   * Swallows all bytes, both ways. Connections stay open, new ones are accepted and get no answer.
   * As behind a gateway that forgot them, the connections of this time stay silent for ever, also
   * after `heal`: who holds one has to notice by himself.
   */
  blackHole(): void;
  /**
   * The next piece of a reply that is longer is cut after so many bytes, and its connection ends.
   * Resolves when that has happened.
   */
  cutReplyAfter(bytes: number): Promise<void>;
  /** Acts just before a client's bytes with this text are passed on; resolves after it. */
  onceSent(text: string, act: () => void): Promise<void>;
  /** Ends every harm and forgets what was to come. */
  heal(): Promise<void>;
  /** Safe twice. */
  close(): Promise<void>;
}

const host = '127.0.0.1';
/** Of one direction of one connection; beyond it the sender has to wait. */
const maxDelayedBytes = 1_048_576;

interface ReplyCut {
  readonly bytes: number;
  readonly done: () => void;
}

interface Trigger {
  readonly text: string;
  readonly act: () => void;
}

/** What is being done to the network, looked up by every piece of data on its way. */
interface Harm {
  latencyMs: number;
  hole: boolean;
  replyCut: ReplyCut | null;
  trigger: Trigger | null;
}

/** One connection of a client, and ours to the server; none is made into a black hole. */
interface Link {
  readonly client: Socket;
  readonly server: Socket | null;
  /** It has been in a black hole. */
  lost: boolean;
  /** The end of what the client sent, in which a trigger's text may begin. */
  tail: string;
}

/** @param targetPort of 127.0.0.1; the server may start and stop while the proxy runs */
export async function startProxy(targetPort: number): Promise<TcpProxy> {
  const port = await freePort();
  const links = new Set<Link>();
  const harm: Harm = { latencyMs: 0, hole: false, replyCut: null, trigger: null };
  const accept = (client: Socket) => {
    const link = openLink(client, harm.hole ? null : targetPort);
    links.add(link);
    client.once('close', () => {
      if (!link.lost) links.delete(link);
    });
    carry(link, harm);
  };
  let listener: Server | null = await listen(port, accept);

  async function stopListening(): Promise<void> {
    const closing = listener;
    listener = null;
    if (closing === null) return;
    const closed = new Promise<void>((resolve) => closing.close(() => resolve()));
    for (const link of links) reset(link);
    links.clear();
    await closed;
  }

  return {
    port,
    through(url) {
      const changed = new URL(url);
      changed.hostname = host;
      changed.port = String(port);
      return changed.href;
    },
    connections: () => [...links].filter(({ lost }) => !lost).length,
    latency(ms) {
      harm.latencyMs = ms;
    },
    cut() {
      const open = [...links].filter(({ lost }) => !lost);
      for (const link of open) reset(link);
      return open.length;
    },
    refuse: stopListening,
    blackHole() {
      harm.hole = true;
      for (const link of links) link.lost = true;
    },
    cutReplyAfter: (bytes) =>
      new Promise((done) => {
        harm.replyCut = { bytes, done };
      }),
    onceSent: (text, act) =>
      new Promise((resolve) => {
        harm.trigger = {
          text,
          act() {
            act();
            resolve();
          },
        };
      }),
    async heal() {
      Object.assign(harm, { latencyMs: 0, hole: false, replyCut: null, trigger: null });
      listener ??= await listen(port, accept);
    },
    close: stopListening,
  };
}

function listen(port: number, accept: (client: Socket) => void): Promise<Server> {
  return new Promise((resolve, reject) => {
    const server = createServer({ allowHalfOpen: true, noDelay: true }, accept);
    server.once('error', reject);
    server.listen({ port, host }, () => resolve(server));
  });
}

function openLink(client: Socket, targetPort: number | null): Link {
  const server =
    targetPort === null
      ? null
      : openSocket({ port: targetPort, host, allowHalfOpen: true, noDelay: true });
  return { client, server, lost: targetPort === null, tail: '' };
}

function reset({ client, server }: Link): void {
  client.resetAndDestroy();
  // A server that is still connecting cannot be reset.
  if (server?.connecting) server.destroy();
  else server?.resetAndDestroy();
}

function carry(link: Link, harm: Harm): void {
  const { client, server } = link;
  // An error is followed by `close`, which closes the other side.
  client.on('error', () => {});
  if (server === null) {
    client.resume();
    return;
  }
  server.on('error', () => {});
  pump(client, server, link, harm, (data) => {
    pullTrigger(link, harm, data);
    return data;
  });
  pump(server, client, link, harm, (data) => cutReply(server, harm, data));
}

/** Passes data on in order, each piece after the latency that held when it came. */
function pump(
  from: Socket,
  to: Socket,
  link: Link,
  harm: Harm,
  admit: (piece: Buffer) => Buffer,
): void {
  let last = Promise.resolve();
  let delayed = 0;
  async function pass(piece: Buffer, dueAt: number): Promise<void> {
    const early = dueAt - performance.now();
    if (early > 0) await sleep(early);
    if (!link.lost && to.writable && !to.write(piece)) await roomIn(to);
    delayed -= piece.length;
    if (delayed <= maxDelayedBytes) from.resume();
  }
  from.on('data', (data: Buffer) => {
    const piece = admit(data);
    // Asked after `admit`, which may have opened the black hole.
    if (link.lost) return;
    delayed += piece.length;
    if (delayed > maxDelayedBytes) from.pause();
    const dueAt = performance.now() + harm.latencyMs;
    last = last.then(() => pass(piece, dueAt));
  });
  from.on('end', () => {
    last = last.then(() => {
      if (!link.lost) to.end();
    });
  });
  from.once('close', (failed) => {
    last = last.then(() => {
      if (link.lost) return;
      if (failed) to.resetAndDestroy();
      else to.destroySoon();
    });
  });
}

function roomIn(socket: Socket): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      socket.off('drain', done).off('close', done);
      resolve();
    };
    socket.on('drain', done).on('close', done);
  });
}

function pullTrigger(link: Link, harm: Harm, piece: Buffer): void {
  if (harm.trigger === null) return;
  const { text, act } = harm.trigger;
  const seen = link.tail + piece.toString('latin1');
  link.tail = seen.slice(1 - text.length);
  if (!seen.includes(text)) return;
  harm.trigger = null;
  act();
}

/** What is left of the reply; the connection it came from ends, and with it the client's. */
function cutReply(server: Socket, harm: Harm, data: Buffer): Buffer {
  const { replyCut } = harm;
  if (replyCut === null || data.length <= replyCut.bytes) return data;
  harm.replyCut = null;
  server.destroy();
  replyCut.done();
  return data.subarray(0, replyCut.bytes);
}
