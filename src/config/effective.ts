import { describeConfig } from './describe.ts';
import { groupVariables, type Member } from './groups.ts';
import { showPath, showValue } from './read.ts';
import type { Config } from './sections.ts';
import type { Environment } from './types.ts';

/** The effective value of one variable, for people; no field holds a secret. */
export interface EffectiveVariable {
  readonly name: string;
  /** Title of its group. */
  readonly title: string;
  /** As the environment would hold it; null: unset without a default. */
  readonly value: string | null;
  readonly source: 'default' | 'environment' | 'file';
  /** The path, if the source is a file. */
  readonly file: string | null;
  readonly secret: boolean;
}

/** Printed in place of a secret that is set. */
export const hidden = '***';

/** Every variable with its value and source. @param config loaded from the same environment */
export function effectiveVariables(env: Environment, config: Config): EffectiveVariable[] {
  const redacted = describeConfig(config);
  return groupVariables().flatMap(({ title, members }) =>
    members.map((member) => describe(member, title, env, redacted)),
  );
}

type Values = { readonly [Key in Member['key']]?: string | null };

/** The URL variables. @param config already redacted */
function urlsOf({ redis, database, domain, tracing }: Config): Values {
  // Loading removed sslmode from the URL; it is not secret.
  const parameter = database.tls === null ? '' : 'sslmode=verify-full';
  const withMode = (url: string) =>
    parameter === '' ? url : `${url}${url.includes('?') ? '&' : '?'}${parameter}`;
  return {
    redisUrl: redis.url,
    postgresUrl: withMode(database.url),
    migrationPostgresUrl: withMode(database.migrationUrl),
    domainPostgresUrl: withMode(domain.url),
    tracingEndpoint: tracing.endpoint,
  };
}

/** Variables whose default derives from another value. */
function derivedOf({ shards, streams: [stream], service }: Config): Values {
  return {
    consumer: stream.consumer,
    instance: service.instance,
    // With shards each has its own.
    deadLetterKey: shards === null ? stream.deadLetterKey : null,
  };
}

function describe(
  { key, field }: Member,
  title: string,
  env: Environment,
  config: Config,
): EffectiveVariable {
  const { name, secret } = field;
  const path = secret ? env[`${name}_FILE`] || null : null;
  const given = env[name] || null;
  const isSet = path !== null || given !== null;
  const plain = derivedOf(config)[key] ?? given ?? field.default;
  const url = urlsOf(config)[key];
  const value = secret ? (url ?? (isSet ? hidden : null)) : plain && showValue(plain);
  const source = path !== null ? 'file' : given !== null ? 'environment' : 'default';
  return { name, title, value, source, file: path && showPath(path), secret };
}
