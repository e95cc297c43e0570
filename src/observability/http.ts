import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { Registry } from 'prom-client';
import type { Service } from '../core/types.ts';
import { createHttpConnections } from './http-connections.ts';
import { scrub } from './scrub.ts';

// An import of node:http also loads Node's client for fetch: 20 ms of each start (decision 0075).
const { createServer } = process.getBuiltinModule('node:http');

export interface HealthReport {
  readonly ok: boolean;
  /** State of each part; `ok` means healthy. */
  readonly checks: Readonly<Record<string, string>>;
}

export interface HttpOptions {
  readonly host: string;
  readonly port: number;
  readonly registry: Registry;
  readonly health: {
    /** Shallow: asks no dependency. */
    live(): HealthReport;
    /** Whether this instance processes entries at present. */
    ready(): HealthReport;
    /** Whether the start-up is complete. */
    startup(): HealthReport;
  };
  /** Called when a connection of this client was closed because there were too many. */
  readonly onEvicted: (address: string) => void;
}

export interface HttpEndpoint extends Service {
  address(): { readonly host: string; readonly port: number };
}

type Answer = { status: number; type: string; body: string };
type Respond = (request: IncomingMessage, response: ServerResponse) => void;

const maxConnections = 64;
/** Time limit for a request's headers; a health check and a scraper send them in one packet. */
const headersTimeoutMs = 2000;
/** Time limit for a whole request, and between two requests of one connection. */
const requestTimeoutMs = 5000;
/** Time limit without a byte in either direction, such as a client that does not read. */
const idleTimeoutMs = 10_000;
/** Longest wait for answers in progress when the endpoint stops. */
const stopGraceMs = 1000;

/** Serves /metrics and /health: read-only, bounded, without secrets. */
export function createHttpEndpoint(options: HttpOptions): HttpEndpoint {
  let server: Server | null = null;
  const respond = createResponder(options, () => server !== null);
  let starting: Promise<void> | null = null;
  let stopping: Promise<void> = Promise.resolve();

  async function open(): Promise<void> {
    await stopping;
    const opened = createHttpServer(respond, options.onEvicted);
    await listen(opened, options);
    server = opened;
  }

  async function end(started: Promise<void>): Promise<void> {
    // start() reports its own failure; here it means that there is nothing to close.
    await started.catch(() => undefined);
    const closing = server;
    server = null;
    if (closing !== null) await close(closing);
  }

  return {
    name: 'http',
    async start() {
      const attempt = starting ?? open();
      starting = attempt;
      try {
        await attempt;
      } catch (error) {
        // The port may be free at the next attempt.
        if (starting === attempt) starting = null;
        throw error;
      }
    },
    stop() {
      if (starting !== null) stopping = end(starting);
      starting = null;
      return stopping;
    },
    address() {
      const address = server?.address();
      return typeof address === 'object' && address !== null
        ? { host: address.address, port: address.port }
        : { host: options.host, port: options.port };
    },
  };
}

function createHttpServer(respond: Respond, onEvicted: (address: string) => void): Server {
  const connections = createHttpConnections(maxConnections, onEvicted);
  const server = createServer(
    {
      requestTimeout: requestTimeoutMs,
      headersTimeout: headersTimeoutMs,
      keepAliveTimeout: requestTimeoutMs,
      // The interval at which Node.js checks for late requests; its default is 30 s.
      connectionsCheckingInterval: 1000,
      maxHeaderSize: 8192,
    },
    (request, response) => {
      const { socket } = request;
      connections.beginAnswer(socket);
      response.once('close', () => connections.endAnswer(socket));
      respond(request, response);
    },
  );
  // Not `server.maxConnections`, which refuses the newest: the idle ones would lock out the rest.
  server.on('connection', connections.admit);
  server.timeout = idleTimeoutMs;
  return server;
}

function listen(server: Server, { host, port }: HttpOptions): Promise<void> {
  return new Promise((resolve, reject) => {
    const onError = (cause: Error) => {
      const advice = 'free the port or set HTTP_HOST and HTTP_PORT';
      reject(new Error(`cannot listen on ${host}:${port}: ${advice}`, { cause }));
    };
    server.once('error', onError);
    server.listen(port, host, () => {
      server.off('error', onError);
      // A connection that cannot be accepted (no file descriptor left) is the client's loss; it
      // must not end the service.
      server.on('error', (error) => process.emitWarning(error));
      resolve();
    });
  });
}

/** Closes idle connections at once, and the others after their answer or the grace period. */
function close(server: Server): Promise<void> {
  return new Promise((resolve) => {
    const cut = setTimeout(() => server.closeAllConnections(), stopGraceMs);
    server.close(() => {
      clearTimeout(cut);
      resolve();
    });
  });
}

function createResponder(options: HttpOptions, isOpen: () => boolean) {
  let rendering: Promise<string> | null = null;
  // Scrapes that arrive together share one rendering.
  const renderMetrics = () => {
    rendering ??= options.registry.metrics().finally(() => {
      rendering = null;
    });
    return rendering;
  };
  const answer = async (path: string): Promise<Answer> => {
    switch (path) {
      case '/metrics':
        return { status: 200, type: options.registry.contentType, body: await renderMetrics() };
      case '/health/live':
      case '/healthz':
        return healthAnswer(options.health.live());
      case '/health/ready':
      case '/readyz':
        return healthAnswer(options.health.ready());
      case '/health/startup':
        return healthAnswer(options.health.startup());
      default:
        return jsonAnswer(404, { error: 'not found' });
    }
  };
  return (request: IncomingMessage, response: ServerResponse): void => {
    request.resume();
    if (hasBody(request)) response.shouldKeepAlive = false;
    if (request.method !== 'GET' && request.method !== 'HEAD') {
      response.setHeader('Allow', 'GET, HEAD');
      send(request, response, jsonAnswer(405, { error: 'method not allowed' }));
      return;
    }
    const path = (request.url ?? '/').split('?', 1)[0] ?? '/';
    answer(path).then(
      (found) => {
        // The connection of an answer given while the endpoint stops must not stay idle.
        if (!isOpen()) response.shouldKeepAlive = false;
        send(request, response, found);
      },
      (error: unknown) => {
        process.emitWarning(`${path} could not be answered: ${scrub(String(error))}`);
        send(request, response, jsonAnswer(500, { error: 'internal error' }));
      },
    );
  };
}

/** No endpoint reads a body, so the connection of a client that sends one is closed. */
function hasBody({ headers }: IncomingMessage): boolean {
  return headers['transfer-encoding'] !== undefined || Number(headers['content-length'] ?? 0) > 0;
}

function healthAnswer(report: HealthReport): Answer {
  return jsonAnswer(report.ok ? 200 : 503, report);
}

function jsonAnswer(status: number, body: object): Answer {
  return { status, type: 'application/json', body: JSON.stringify(body) };
}

function send(
  request: IncomingMessage,
  response: ServerResponse,
  { status, type, body }: Answer,
): void {
  response.writeHead(status, {
    'Content-Type': type,
    'Content-Length': Buffer.byteLength(body),
    'Cache-Control': 'no-store',
    'X-Content-Type-Options': 'nosniff',
  });
  response.end(request.method === 'HEAD' ? undefined : body);
}
