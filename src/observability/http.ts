import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { Registry } from 'prom-client';
import type { Service } from '../core/types.ts';

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
}

export interface HttpEndpoint extends Service {
  address(): { readonly host: string; readonly port: number };
}

type Answer = { status: number; type: string; body: string };

/** /metrics and /health: read only, bounded, nothing secret. */
export function createHttpEndpoint(options: HttpOptions): HttpEndpoint {
  const respond = createResponder(options);
  const server = createServer(
    { requestTimeout: 5000, headersTimeout: 5000, maxHeaderSize: 8192 },
    respond,
  );
  server.maxConnections = 64;
  server.keepAliveTimeout = 5000;
  let starting: Promise<void> | null = null;
  return {
    name: 'http',
    start() {
      starting ??= listen(server, options);
      return starting;
    },
    stop() {
      return new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      });
    },
    address() {
      const address = server.address();
      return typeof address === 'object' && address !== null
        ? { host: address.address, port: address.port }
        : { host: options.host, port: options.port };
    },
  };
}

function listen(server: Server, { host, port }: HttpOptions): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', (cause) => {
      reject(
        new Error(
          `cannot listen on ${host}:${port}: free the port or set HTTP_HOST and HTTP_PORT`,
          {
            cause,
          },
        ),
      );
    });
    server.listen(port, host, resolve);
  });
}

function createResponder(options: HttpOptions) {
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
    if (request.method !== 'GET' && request.method !== 'HEAD') {
      response.setHeader('Allow', 'GET, HEAD');
      send(request, response, jsonAnswer(405, { error: 'method not allowed' }));
      return;
    }
    const path = (request.url ?? '/').split('?', 1)[0] ?? '/';
    answer(path).then(
      (found) => send(request, response, found),
      () => send(request, response, jsonAnswer(500, { error: 'internal error' })),
    );
  };
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
  });
  response.end(request.method === 'HEAD' ? undefined : body);
}
