/** Messages of PostgreSQL's wire protocol, as far as a server needs to distinguish them. */

const sslRequest = 80_877_103;
const gssRequest = 80_877_104;
const cancelRequest = 80_877_102;

export interface FirstMessage {
  readonly kind: 'encryption' | 'cancel' | 'startup';
  /** Of `startup`: user, database, options and so on. */
  readonly parameters: ReadonlyMap<string, string>;
}

/** Reads whole messages from a stream of bytes that arrives in pieces of any size. */
export interface MessageReader {
  /** The first message has no type byte. Null at the end of the stream. */
  first(): Promise<FirstMessage | null>;
  /** All messages up to and including the next Sync or Query. Null at the end or at Terminate. */
  request(): Promise<Buffer | null>;
}

export function createMessageReader(bytes: AsyncIterable<Buffer>): MessageReader {
  const source = bytes[Symbol.asyncIterator]();
  let pieces: Buffer[] = [];
  let held = 0;

  /** The next `count` bytes, or null where the stream ends before them. */
  async function take(count: number): Promise<Buffer | null> {
    while (held < count) {
      const next = await source.next();
      if (next.done) return null;
      pieces.push(next.value);
      held += next.value.length;
    }
    const all = Buffer.concat(pieces);
    pieces = [all.subarray(count)];
    held -= count;
    return all.subarray(0, count);
  }

  async function message(): Promise<Buffer | null> {
    const head = await take(5);
    const body = head && (await take(head.readInt32BE(1) - 4));
    return head && body && Buffer.concat([head, body]);
  }

  return {
    async first() {
      const length = await take(4);
      const body = length && (await take(length.readInt32BE(0) - 4));
      return body && readFirst(body);
    },
    async request() {
      const messages: Buffer[] = [];
      for (;;) {
        const next = await message();
        const type = String.fromCharCode(next?.[0] ?? 0);
        if (next === null || type === 'X') return null;
        messages.push(next);
        if (type === 'S' || type === 'Q') return Buffer.concat(messages);
      }
    },
  };
}

function readFirst(body: Buffer): FirstMessage {
  const code = body.readInt32BE(0);
  const parameters = new Map<string, string>();
  if (code === cancelRequest) return { kind: 'cancel', parameters };
  if (code === sslRequest || code === gssRequest) return { kind: 'encryption', parameters };
  const words = body.toString('utf8', 4).split('\0');
  for (let at = 0; words[at]; at += 2) parameters.set(words[at] ?? '', words[at + 1] ?? '');
  return { kind: 'startup', parameters };
}

/** A message of the simple query protocol. */
export function queryMessage(sql: string): Buffer {
  return typed('Q', Buffer.from(`${sql}\0`));
}

export function passwordMessage(): Buffer {
  return typed('p', Buffer.from('any\0'));
}

export function startupMessage(parameters: Readonly<Record<string, string>>): Buffer {
  const words = Object.entries(parameters).flatMap(([name, value]) => `${name}\0${value}\0`);
  const body = Buffer.from(`${words.join('')}\0`);
  const head = Buffer.alloc(8);
  head.writeInt32BE(8 + body.length, 0);
  head.writeInt32BE(3 << 16, 4);
  return Buffer.concat([head, body]);
}

function typed(type: string, body: Buffer): Buffer {
  const head = Buffer.alloc(5);
  head.write(type, 0, 'latin1');
  head.writeInt32BE(4 + body.length, 1);
  return Buffer.concat([head, body]);
}

/** What a reply's ReadyForQuery, its last message, says: idle, in a transaction, or in a failed one. */
export function transactionStatus(reply: Uint8Array): 'I' | 'T' | 'E' {
  const status = String.fromCharCode(reply.at(-1) ?? 0);
  if (reply.at(-6) === 0x5a && (status === 'I' || status === 'T' || status === 'E')) return status;
  throw new Error('the reply does not end with ReadyForQuery');
}
