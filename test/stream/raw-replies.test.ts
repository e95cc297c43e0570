import { once } from 'node:events';
import { createServer, type Socket } from 'node:net';
import fc from 'fast-check';
import { describe, expect, onTestFinished, test } from 'vitest';
import { singleServer } from '../../src/stream/primary-finder.ts';
import { takeOver } from '../../src/stream/raw-connection.ts';
import { encodeCommands, ReplyEnd, ReplyReader } from '../../src/stream/raw-replies.ts';
import { openRedis } from '../../src/stream/redis.ts';
import { redisUrl } from '../setup/database.ts';
import { silent } from './entries.ts';

type Value = string | number | null | Value[];

/** As Redis writes it. */
function encode(value: Value): Buffer {
  if (value === null) return Buffer.from('$-1\r\n');
  if (typeof value === 'number') return Buffer.from(`:${value}\r\n`);
  if (typeof value === 'string') {
    const bytes = Buffer.from(value, 'latin1');
    return Buffer.concat([Buffer.from(`$${bytes.length}\r\n`), bytes, Buffer.from('\r\n')]);
  }
  return Buffer.concat([Buffer.from(`*${value.length}\r\n`), ...value.map(encode)]);
}

/** Any bytes, including those of the protocol itself. */
const text = fc.oneof(
  fc.string({ unit: fc.integer({ min: 0, max: 255 }).map((code) => String.fromCharCode(code)) }),
  fc.constantFrom('\r\n', '$3\r\n', '*1\r\n', '-ERR\r\n', ''),
);
const { value } = fc.letrec<{ value: Value }>((tie) => ({
  value: fc.oneof(
    { maxDepth: 3 },
    text,
    fc.maxSafeInteger(),
    fc.constant(null),
    fc.array(tie('value'), { maxLength: 4 }),
  ),
}));

describe('replies that arrive in pieces', () => {
  test('end where they end, however they are cut, and read as what was written', () => {
    fc.assert(
      fc.property(
        fc.array(value, { minLength: 1, maxLength: 3 }),
        fc.array(fc.nat()),
        (all, cuts) => {
          const bytes = Buffer.concat(all.map(encode));
          const offsets = [...new Set(cuts.map((cut) => cut % bytes.length))].sort((a, b) => a - b);
          const end = new ReplyEnd(all.length);
          let from = 0;
          for (const offset of offsets) {
            if (offset > from) expect(end.push(bytes.subarray(from, offset))).toBe(false);
            from = Math.max(from, offset);
          }
          expect(end.push(bytes.subarray(from))).toBe(true);
          const reader = new ReplyReader(bytes);
          expect(all.map(() => reader.value())).toEqual(all);
        },
      ),
      { numRuns: 2000 },
    );
  });

  test('hold the entries of a read with every byte of their fields', () => {
    const field = fc.tuple(text, text);
    const entry = fc.tuple(fc.nat(), fc.array(field, { minLength: 1, maxLength: 5 }));
    fc.assert(
      fc.property(fc.array(entry, { minLength: 1, maxLength: 10 }), (entries) => {
        const reply = [['key', entries.map(([id, fields]) => [`${id}-0`, fields.flat()])]];
        const read = new ReplyReader(encode(reply)).entries(null);
        expect(
          read.map(({ id, fields }) => [id, fields.parts().map((part) => part.toString('latin1'))]),
        ).toEqual(entries.map(([id, fields]) => [`${id}-0`, fields.flat()]));
        for (const { fields, bytes } of read) expect(bytes).toBe(fields.bytes);
      }),
    );
  });
});

test('no entries are no entries, and an error is thrown with its word', () => {
  expect(new ReplyReader(Buffer.from('*-1\r\n')).entries(null)).toEqual([]);
  const refused = new ReplyReader(Buffer.from('-NOGROUP No such key\r\n'));
  expect(() => refused.entries(null)).toThrow(expect.objectContaining({ code: 'NOGROUP' }));
});

test('a reply in another shape waits for a person', () => {
  for (const bytes of ['%1\r\n+a\r\n+b\r\n', '*1\r\n:1\r\n']) {
    expect(() => new ReplyReader(Buffer.from(bytes)).entries(null)).toThrow(
      expect.objectContaining({ kind: 'configuration', code: 'REPLY_SHAPE' }),
    );
  }
});

describe('a connection that was taken over', () => {
  async function open(url = redisUrl()) {
    const redis = openRedis(
      {
        primaries: singleServer(url),
        key: 'x',
        connectionName: 'processor:test:raw',
        connectTimeoutMs: 2000,
        commandTimeoutMs: 2000,
        onReconnect: () => {},
      },
      silent,
    );
    await redis.connect();
    const connection = takeOver(redis);
    onTestFinished(() => connection.close());
    return connection;
  }

  test('sends several commands at once, repeatedly, and returns their replies', async () => {
    const connection = await open();
    for (const word of ['one', 'två', '']) {
      const reader = new ReplyReader(
        await connection.ask([
          ['ECHO', word],
          ['CLIENT', 'GETNAME'],
        ]),
      );
      const echoed = Buffer.from(String(reader.value()), 'latin1').toString('utf8');
      expect([echoed, reader.value()]).toEqual([word, 'processor:test:raw']);
    }
  });

  test('carries a reply of many megabytes', async () => {
    const connection = await open();
    const script = "return string.rep('x', 20000000)";
    const reader = new ReplyReader(await connection.ask([['EVAL', script, '0']]));
    expect(String(reader.value())).toHaveLength(20_000_000);
  });

  test('rejects the pending commands if the server ends the connection during the reply', async () => {
    const sockets: Socket[] = [];
    const server = createServer((socket) => {
      sockets.push(socket);
      socket.on('data', (data) => {
        if (data.includes('ECHO')) socket.end('$100\r\nhalf of it');
        else socket.write('+OK\r\n'.repeat(data.toString().split('*').length - 1));
      });
      socket.on('error', () => {});
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    onTestFinished(() => void server.close());
    const address = server.address();
    const port = typeof address === 'object' && address !== null ? address.port : 0;
    const redis = openRedis(
      {
        primaries: singleServer(`redis://127.0.0.1:${port}`),
        key: 'x',
        connectionName: 'x',
        connectTimeoutMs: 2000,
        commandTimeoutMs: 500,
        onReconnect: () => {},
      },
      silent,
    );
    onTestFinished(() => redis.disconnect());
    const connected = once(redis, 'connect');
    redis.connect().catch(() => {});
    await connected;
    const connection = takeOver(redis);

    await expect(connection.ask([['ECHO', 'x']])).rejects.toMatchObject({ code: 'CONNECTION' });
    expect(connection.isOpen).toBe(false);
    await expect(connection.ask([['ECHO', 'x']])).rejects.toMatchObject({ code: 'CONNECTION' });
  });
});

test('commands are written with the lengths of their bytes', () => {
  expect(encodeCommands([['ECHO', 'ä'], ['PING']])).toBe(
    '*2\r\n$4\r\nECHO\r\n$2\r\nä\r\n*1\r\n$4\r\nPING\r\n',
  );
});
