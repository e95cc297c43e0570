import { groupVariables, type Member } from './groups.ts';
import { type Config, describeConfig } from './load.ts';
import { type Environment, showPath, showValue } from './read.ts';

/** One variable as it is in force, for people: nothing of it is secret. */
export interface EffectiveVariable {
  readonly name: string;
  /** Of its group. */
  readonly title: string;
  /** As it would stand in the environment; null: there is none. */
  readonly value: string | null;
  readonly source: 'default' | 'environment' | 'file';
  /** Where the source is a file. */
  readonly file: string | null;
  readonly secret: boolean;
}

/** What is shown of a secret that is set. */
export const hidden = '***';

/** @param config what loadConfig made of the same environment */
export function effectiveVariables(env: Environment, config: Config): EffectiveVariable[] {
  const redacted = describeConfig(config);
  return groupVariables().flatMap(({ title, members }) =>
    members.map((member) => describe(member, title, env, redacted)),
  );
}

type Values = { readonly [Key in Member['key']]?: string | null };

/** Redacted, so that nothing more is to be taken out. */
function urlsOf({ redis, database, tracing }: Config): Values {
  // Reading it took sslmode out of the URL; it says nothing that is secret.
  const query = database.tls === null ? '' : '?sslmode=verify-full';
  return {
    redisUrl: redis.url,
    postgresUrl: `${database.url}${query}`,
    migrationPostgresUrl: `${database.migrationUrl}${query}`,
    tracingEndpoint: tracing.endpoint,
  };
}

/** Whose default is made of something else. */
function derivedOf({ stream, service }: Config): Values {
  return {
    consumer: stream.consumer,
    instance: service.instance,
    deadLetterKey: stream.deadLetterKey,
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
