import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { Registry } from 'prom-client';
import type { Service } from '../core/types.ts';
import { createHttpConnections } from './http-connections.ts';
import { scrub } from './scrub.ts';

export interface HealthReport {
  readonly ok: boolean;
  /** `ok`, or in a few words what is missing. */
  readonly checks: Readonly<Record<string, string>>;
}

export interface HttpOptions {
  readonly host: string;
  readonly port: number;
  readonly registry: Registry;
  readonly health: {
    /** Shallow: asks no dependency. */
    live(): HealthReport;
    /** Should this instance be counted on right now? */
    ready(): HealthReport;
    /** Has start-up come to its end? */
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
/** For a request's headers to arrive; a health check and a scraper send them in one packet. */
const headersTimeoutMs = 2000;
/** For a request to arrive whole, and between two on one connection. */
const requestTimeoutMs = 5000;
/** Without a byte in either direction, such as a client that does not read its answer. */
const idleTimeoutMs = 10_000;
/** What answers under way are waited for when the endpoint stops. */
const stopGraceMs = 1000;

/** /metrics and /health: read only, bounded, nothing secret. */
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
    // Who called start() was told of a failure; here it only means there is nothing to close.
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
      // Node looks for late requests only so often; its default is every 30 s.
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

/** Idle connections end at once, answers under way get a moment. */
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

/** Nothing here takes one: whoever sends it is not waited for. */
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
