import { type ConfigHost, type ConfigProblem, withPassword } from './load.ts';
import { type Environment, type Report, readField } from './read.ts';
import { readTransport, type TlsSettings } from './transport.ts';
import { variables } from './variables.ts';

export type RedisLoginResult =
  | { readonly ok: true; readonly url: string; readonly tls: TlsSettings | null }
  | { readonly ok: false; readonly problems: readonly ConfigProblem[] };

/**
 * The Redis of the environment alone, for what needs no database. Read as loadConfig reads it, from
 * REDIS_URL, REDIS_PASSWORD, their files, and those for TLS.
 */
export function loadRedisLogin(env: Environment, host: ConfigHost): RedisLoginResult {
  const problems: ConfigProblem[] = [];
  const report: Report = ({ name, shape, example }, got) =>
    problems.push({ variable: name, got, expected: shape, example: `${name}=${example}` });
  const redisUrl = readField(variables.redisUrl, env, host, report);
  const password = readField(variables.redisPassword, env, host, report);
  const values = {
    redisUrl,
    redisCaFile: readField(variables.redisCaFile, env, host, report),
    redisCertFile: readField(variables.redisCertFile, env, host, report),
    redisKeyFile: readField(variables.redisKeyFile, env, host, report),
    postgresUrl: null,
    migrationPostgresUrl: null,
    migrationPostgresPassword: null,
    postgresCaFile: null,
    postgresCertFile: null,
    postgresKeyFile: null,
  };
  const transport = readTransport(values, env, host);
  problems.push(...transport.problems);
  if (redisUrl === null || problems.length > 0) return { ok: false, problems };
  return { ok: true, url: withPassword(redisUrl, password), tls: transport.redisTls };
}
