import { once } from 'node:events';
import { createServer, connect as openSocket, type Server, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, onTestFinished, test } from 'vitest';
import { freePort } from '../../../tools/servers/ports.ts';
import { startProxy, type TcpProxy } from '../../../tools/servers/proxy.ts';

describe('a proxy between a client and a server that says everything back', () => {
  let echo: Server;
  let sockets: Socket[];
  let proxy: TcpProxy;

  beforeEach(async () => {
    const port = await freePort();
    sockets = [];
    echo = createServer({ allowHalfOpen: true }, (socket) => {
      sockets.push(socket);
      socket.on('error', () => {}).pipe(socket);
    }).listen(port, '127.0.0.1');
    await once(echo, 'listening');
    proxy = await startProxy(port);
  });
  afterEach(async () => {
    await proxy.close();
    for (const socket of sockets) socket.destroy();
    echo.close();
  });

  test('passes everything on, in order, also more than fits into its buffers', async () => {
    const client = await open(proxy.port);
    const sent = Buffer.from(Uint8Array.from({ length: 16_000_000 }, (_, at) => at % 251));
    client.socket.write(sent);
    await client.until(() => client.received().length === sent.length);
    expect(client.received().equals(sent)).toBe(true);
  });

  test('passes the end of one direction on, and the other direction stays open', async () => {
    const client = await open(proxy.port);
    client.socket.end('last words');
    await client.until(() => client.closed() !== null);
    expect(client.received().toString()).toBe('last words');
    expect(client.closed()).toBe('end');
  });

  test('latency delays each direction and keeps the order when it ends', async () => {
    const client = await open(proxy.port);
    proxy.latency(60);
    const since = performance.now();
    client.socket.write('slow ');
    await sleep(10);
    await proxy.heal();
    client.socket.write('fast');
    await client.until(() => client.received().length === 9);
    expect(client.received().toString()).toBe('slow fast');
    expect(performance.now() - since).toBeGreaterThan(55);

    proxy.latency(60);
    const again = performance.now();
    client.socket.write('!');
    await client.until(() => client.received().length === 10);
    expect(performance.now() - again).toBeGreaterThan(115);
  });

  test('cut resets every connection, and the next one works', async () => {
    const clients = [await open(proxy.port), await open(proxy.port)];
    for (const client of clients) await client.echoes('before');
    expect(proxy.connections()).toBe(2);
    expect(proxy.cut()).toBe(2);
    for (const client of clients) {
      await client.until(() => client.closed() !== null);
      expect(client.closed()).toBe('ECONNRESET');
    }
    await expectEcho(proxy.port);
    await eventuallyClosed(sockets.slice(0, 2));
  });

  test('refuses connections until it is healed', async () => {
    const client = await open(proxy.port);
    await client.echoes('before');
    await proxy.refuse();
    await client.until(() => client.closed() === 'ECONNRESET');
    await expect(open(proxy.port)).rejects.toMatchObject({ code: 'ECONNREFUSED' });
    await proxy.heal();
    await expectEcho(proxy.port);
  });

  test('a connection to a server that is not there is reset', async () => {
    echo.close();
    const client = await open(proxy.port);
    await client.until(() => client.closed() === 'ECONNRESET');
  });

  test('a black hole swallows both directions, accepts, answers nothing and ends nothing', async () => {
    const before = await open(proxy.port);
    await before.echoes('before');
    proxy.blackHole();
    const during = await open(proxy.port);
    before.socket.write('lost');
    during.socket.write('lost');
    sockets[0]?.write('lost');
    await sleep(100);
    expect(before.received().toString()).toBe('before');
    expect(during.received().toString()).toBe('');
    expect([before.closed(), during.closed()]).toEqual([null, null]);
    expect(sockets).toHaveLength(1);
  });

  test('the connections of a black hole stay silent when it is healed, the next one works', async () => {
    const before = await open(proxy.port);
    await before.echoes('before');
    proxy.blackHole();
    const during = await open(proxy.port);
    await proxy.heal();
    await expectEcho(proxy.port);
    before.socket.write('lost');
    during.socket.write('lost');
    await sleep(100);
    expect(before.received().toString()).toBe('before');
    expect(during.received().toString()).toBe('');
    expect([before.closed(), during.closed()]).toEqual([null, null]);
  });

  test('a reply is cut in the middle: its first bytes arrive, then the end', async () => {
    const client = await open(proxy.port);
    const cut = proxy.cutReplyAfter(3);
    await client.echoes('ok');
    client.socket.write('abcdefgh');
    await cut;
    await client.until(() => client.closed() !== null);
    expect(client.received().toString()).toBe('okabc');
    await eventuallyClosed(sockets);
    await expectEcho(proxy.port);
  });

  test('a reply that is late is cut as well', async () => {
    const client = await open(proxy.port);
    proxy.latency(30);
    const cut = proxy.cutReplyAfter(3);
    client.socket.write('abcdefgh');
    await cut;
    await client.until(() => client.closed() !== null);
    expect(client.received().toString()).toBe('abc');
  });

  test('acts when a client sends a certain text, also when it comes in two pieces', async () => {
    const client = await open(proxy.port);
    const sent = proxy.onceSent('INSERT', () => proxy.blackHole());
    await client.echoes('INS');
    client.socket.write('ERT INTO');
    await sent;
    await sleep(50);
    expect(client.received().toString()).toBe('INS');
  });

  test('puts its address into a URL and leaves the rest', () => {
    expect(proxy.through('postgres://me:secret@127.0.0.1:1/there?x=1')).toBe(
      `postgres://me:secret@127.0.0.1:${proxy.port}/there?x=1`,
    );
    expect(proxy.through('redis://127.0.0.1:6379')).toBe(`redis://127.0.0.1:${proxy.port}`);
  });

  test('close ends everything, twice', async () => {
    const client = await open(proxy.port);
    await client.echoes('before');
    proxy.blackHole();
    await proxy.close();
    await proxy.close();
    await client.until(() => client.closed() !== null);
    await expect(open(proxy.port)).rejects.toMatchObject({ code: 'ECONNREFUSED' });
  });
});

interface Client {
  readonly socket: Socket;
  received(): Buffer;
  /** How it ended; null while it is open. */
  closed(): string | null;
  until(done: () => boolean): Promise<void>;
  echoes(text: string): Promise<void>;
}

async function open(port: number): Promise<Client> {
  const socket = openSocket(port, '127.0.0.1');
  onTestFinished(() => {
    socket.destroy();
  });
  await once(socket, 'connect');
  const pieces: Buffer[] = [];
  let end: string | null = null;
  socket.on('data', (piece: Buffer) => pieces.push(piece));
  socket.on('error', (error) => {
    end = 'code' in error ? String(error.code) : error.message;
  });
  socket.on('close', () => {
    end ??= 'end';
  });
  const received = () => Buffer.concat(pieces);

  async function until(done: () => boolean): Promise<void> {
    const giveUpAt = performance.now() + 10_000;
    while (!done()) {
      if (performance.now() > giveUpAt) throw new Error('waited 10 s in vain');
      await sleep(5);
    }
  }

  return {
    socket,
    received,
    closed: () => end,
    until,
    async echoes(text) {
      const wanted = received().length + text.length;
      socket.write(text);
      await until(() => received().length >= wanted);
      expect(received().toString().endsWith(text)).toBe(true);
    },
  };
}

async function expectEcho(port: number): Promise<void> {
  await (await open(port)).echoes('again');
}

async function eventuallyClosed(sockets: readonly Socket[]): Promise<void> {
  const giveUpAt = performance.now() + 10_000;
  while (sockets.some((socket) => !socket.closed)) {
    if (performance.now() > giveUpAt) throw new Error('a connection to the server stays open');
    await sleep(5);
  }
}
