import type { Values } from './types.ts';

/** Variables that have no default and may stay unset; all others always have a value. */
export const optionalKeys = [
  'redisPassword',
  'redisSentinelUser',
  'redisSentinelPassword',
  'redisNatMap',
  'redisCaFile',
  'redisCertFile',
  'redisKeyFile',
  'streamShards',
  'readShards',
  'consumer',
  'deadLetterKey',
  'postgresPassword',
  'migrationPostgresUrl',
  'migrationPostgresPassword',
  'domainPostgresUrl',
  'domainPostgresPassword',
  'domainSubjectColumn',
  'postgresCaFile',
  'postgresCertFile',
  'postgresKeyFile',
  'tracingEndpoint',
  'instance',
  'auditKey',
] as const satisfies readonly (keyof Values)[];

type OptionalKey = (typeof optionalKeys)[number];

/** Values of a configuration without problems. */
export type CompleteValues = Pick<Values, OptionalKey> & {
  readonly [Key in Exclude<keyof Values, OptionalKey>]: NonNullable<Values[Key]>;
};

/**
 * Checks that every variable has a value, except the optional ones.
 * @throws TypeError when one is missing although no problem was reported, which is a bug
 */
export function assertComplete(values: Values): asserts values is CompleteValues {
  const optional = new Set<string>(optionalKeys);
  const missing = Object.entries(values).filter(
    ([key, value]) => value === null && !optional.has(key),
  );
  if (missing.length === 0) return;
  throw new TypeError(`configuration values missing: ${missing.map(([key]) => key).join(', ')}`);
}
