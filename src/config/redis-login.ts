import { readField } from './read.ts';
import { redisServers } from './sections.ts';
import { topologyProblems } from './topology-problems.ts';
import { readTransport } from './transport.ts';
import type { ConfigHost, ConfigProblem, Environment, Report, TlsSettings } from './types.ts';
import { variables } from './variables.ts';

export type RedisLoginResult =
  | ({ readonly ok: true; readonly tls: TlsSettings | null } & ReturnType<typeof redisServers>)
  | { readonly ok: false; readonly problems: readonly ConfigProblem[] };

/**
 * Reads only the Redis settings, for commands that need no database: REDIS_URL, the passwords,
 * their `_FILE` forms, REDIS_NAT_MAP and the TLS files, with the same rules as `loadConfig`.
 */
export function loadRedisLogin(env: Environment, host: ConfigHost): RedisLoginResult {
  const problems: ConfigProblem[] = [];
  const report: Report = ({ name, shape, example }, got) =>
    problems.push({ variable: name, got, expected: shape, example: `${name}=${example}` });
  const redisUrl = readField(variables.redisUrl, env, host, report);
  const servers = {
    redisPassword: readField(variables.redisPassword, env, host, report),
    redisSentinelUser: readField(variables.redisSentinelUser, env, host, report),
    redisSentinelPassword: readField(variables.redisSentinelPassword, env, host, report),
    redisNatMap: readField(variables.redisNatMap, env, host, report),
  };
  const values = {
    ...servers,
    redisUrl,
    redisCaFile: readField(variables.redisCaFile, env, host, report),
    redisCertFile: readField(variables.redisCertFile, env, host, report),
    redisKeyFile: readField(variables.redisKeyFile, env, host, report),
    postgresUrl: null,
    migrationPostgresUrl: null,
    migrationPostgresPassword: null,
    domain: null,
    domainPostgresUrl: null,
    domainPostgresPassword: null,
    postgresCaFile: null,
    postgresCertFile: null,
    postgresKeyFile: null,
  };
  const transport = readTransport(values, env, host);
  problems.push(...transport.problems, ...topologyProblems(values));
  if (redisUrl === null || problems.length > 0) return { ok: false, problems };
  return { ok: true, ...redisServers({ ...servers, redisUrl }), tls: transport.redisTls };
}
