import { randomInt } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { createServer } from 'node:net';

const lowestPort = 10_240;
const attempts = 50;

/**
 * A port of 127.0.0.1 that is free now, below the range from which the kernel takes the ports of
 * outgoing connections: while a server is down for a fault test, a client's own connection could
 * otherwise take its port, or even connect to itself. Another process may still be faster, so
 * that the caller tries again when its server finds the port taken.
 */
export async function freePort(): Promise<number> {
  const end = await ephemeralStart();
  for (let attempt = 0; attempt < attempts && end > lowestPort; attempt += 1) {
    const port = randomInt(lowestPort, end);
    if (await canListen(port)) return port;
  }
  throw new Error(`no free port on 127.0.0.1 between ${lowestPort} and ${end}`);
}

async function ephemeralStart(): Promise<number> {
  try {
    const range = await readFile('/proc/sys/net/ipv4/ip_local_port_range', 'utf8');
    const start = Number(range.trim().split(/\s+/)[0]);
    // A machine that gives nearly everything to outgoing connections leaves no better range.
    return start > lowestPort + 1_000 ? start : 65_536;
  } catch {
    return 49_152; // IANA's dynamic range, which everything but Linux uses.
  }
}

function canListen(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(false));
    server.listen({ port, host: '127.0.0.1', exclusive: true }, () => {
      server.close(() => resolve(true));
    });
  });
}
