import type { Login, Topology } from './redis-url.ts';
import type { Config } from './sections.ts';
import { describeTls } from './transport.ts';
import { redactUrl } from './urls.ts';

/** The effective configuration for people and logs: every URL without its login. */
export function describeConfig(config: Config): Config {
  const { redis, database, domain, tracing } = config;
  const endpoint = tracing.endpoint === null ? null : redactUrl(tracing.endpoint);
  return {
    ...config,
    tracing: { ...tracing, endpoint },
    domain: { ...domain, url: redactUrl(domain.url) },
    audit: { key: config.audit.key === null ? null : '***' },
    redis: {
      ...redis,
      url: redactUrl(redis.url),
      topology: describeTopology(redis.topology),
      tls: describeTls(redis.tls),
    },
    database: {
      ...database,
      url: redactUrl(database.url),
      migrationUrl: redactUrl(database.migrationUrl),
      tls: describeTls(database.tls),
    },
  };
}

/** A topology for people: hosts, and each part of a login replaced by ***. */
function describeTopology(topology: Topology): Topology {
  switch (topology.kind) {
    case 'single':
      return { ...topology, url: redactUrl(topology.url) };
    case 'sentinel': {
      const { login, sentinelLogin } = topology;
      return { ...topology, login: hidden(login), sentinelLogin: hidden(sentinelLogin) };
    }
    case 'cluster':
      return { ...topology, login: hidden(topology.login) };
  }
}

function hidden({ username, password }: Login): Login {
  return { username: username && '***', password: password && '***' };
}
