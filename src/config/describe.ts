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
    redis: { ...redis, url: redactUrl(redis.url), tls: describeTls(redis.tls) },
    database: {
      ...database,
      url: redactUrl(database.url),
      migrationUrl: redactUrl(database.migrationUrl),
      tls: describeTls(database.tls),
    },
  };
}
