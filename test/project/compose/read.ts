/** Reads a compose file as Compose does: anchors, merges and variables; then checks its form. */
import { parse } from 'yaml';
import { z } from 'zod';

const text = z.string().min(1);
const words = z.array(text).min(1);
const duration = z.string().regex(/^\d+(ms|s|m|h)$/);
const size = z.string().regex(/^\d+(k|m|g)$/);

const healthcheck = z.union([
  z.strictObject({ disable: z.literal(true) }),
  z.strictObject({
    test: words,
    interval: duration,
    timeout: duration,
    retries: z.number().int(),
    start_period: duration.optional(),
  }),
]);

// Closed at every level: a misspelt key is a fault here, as it is in Compose's own schema.
const service = z.strictObject({
  image: text,
  build: z.strictObject({ context: text }).optional(),
  profiles: words.optional(),
  scale: z.number().int().positive().optional(),
  user: z
    .string()
    .regex(/^\d+:\d+$/)
    .optional(),
  entrypoint: words.optional(),
  command: words.optional(),
  // A variable may be empty: processor takes it for unset.
  environment: z.record(z.string().regex(/^[A-Z][A-Z0-9_]*$/), z.string()).optional(),
  secrets: words.optional(),
  configs: words.optional(),
  volumes: words.optional(),
  tmpfs: words.optional(),
  networks: words,
  ports: words.optional(),
  depends_on: z
    .record(
      text,
      z.strictObject({
        condition: z.enum(['service_started', 'service_healthy', 'service_completed_successfully']),
        required: z.boolean().optional(),
      }),
    )
    .optional(),
  healthcheck: healthcheck.optional(),
  restart: z.enum(['no', 'always', 'on-failure', 'unless-stopped']),
  stop_grace_period: duration.optional(),
  read_only: z.boolean(),
  cap_drop: words,
  // Compose refuses a value twice, as it comes out of two files that both have it.
  security_opt: words.refine((all) => new Set(all).size === all.length),
  logging: z.strictObject({ driver: text, options: z.record(text, z.string()) }),
  mem_limit: size,
  memswap_limit: size,
  shm_size: size.optional(),
  pids_limit: z.number().int().positive(),
});

const composeFile = z.strictObject({
  name: text,
  'x-hardened': z.unknown(),
  'x-settings': z.unknown(),
  'x-migrator': z.unknown(),
  // Of compose.ha.yaml.
  'x-redis': z.unknown().optional(),
  'x-redis-address': z.unknown().optional(),
  'x-sentinel': z.unknown().optional(),
  'x-after-sentinels': z.unknown().optional(),
  services: z.record(text, service),
  secrets: z.record(text, z.strictObject({ file: text })),
  // From a file: Compose refuses an inline one for a read-only container.
  configs: z.record(text, z.strictObject({ file: text })),
  networks: z.record(
    text,
    z.strictObject({ internal: z.boolean().optional(), name: text.optional() }),
  ),
  volumes: z.record(text, z.strictObject({})),
});

export type ComposeFile = z.output<typeof composeFile>;
export type ComposeService = z.output<typeof service>;

type Variables = Readonly<Record<string, string>>;

/**
 * @param yaml one file, or several that are laid over each other as `docker compose --file` does
 * @throws on a form that is not known here, and where a required variable is missing
 */
export function readCompose(yaml: string | readonly string[], variables: Variables): ComposeFile {
  const files = typeof yaml === 'string' ? [yaml] : yaml;
  const merged = files
    .map((text) => interpolate(parse(text, { merge: true }), variables))
    .reduce((base, over) => lay(base, over, ''));
  return composeFile.parse(merged);
}

/** Lists that the later file replaces; Compose appends every other one. */
const replaced: readonly string[] = ['command', 'entrypoint', 'test'];

function lay(base: unknown, over: unknown, key: string): unknown {
  if (Array.isArray(base) && Array.isArray(over)) {
    if (replaced.includes(key)) return over;
    return key === 'security_opt' ? [...base, ...over] : [...new Set([...base, ...over])];
  }
  if (!isMap(base) || !isMap(over)) return over;
  const keys = [...new Set([...Object.keys(base), ...Object.keys(over)])];
  const pairs = keys.map((name) => {
    if (!(name in over)) return [name, base[name]];
    return [name, name in base ? lay(base[name], over[name], name) : over[name]];
  });
  return Object.fromEntries(pairs);
}

function isMap(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function interpolate(value: unknown, variables: Variables): unknown {
  if (typeof value === 'string') return substitute(value, variables);
  if (Array.isArray(value)) return value.map((item) => interpolate(item, variables));
  if (!isMap(value)) return value;
  return Object.fromEntries(
    Object.entries(value).map(([key, inner]) => [key, interpolate(inner, variables)]),
  );
}

// ${NAME}, ${NAME:-default} or ${NAME:?message}; a default may hold one further ${NAME}.
const reference = /\$\$|\$\{(\w+)(?::([-?])((?:[^{}]|\{[^{}]*\})*))?\}/g;

function substitute(template: string, variables: Variables): string {
  return template.replace(reference, (whole, name: string, form?: string, rest = '') => {
    if (whole === '$$') return '$';
    const value = variables[name];
    if (value !== undefined && value !== '') return value;
    if (form === '?') throw new Error(`${name} is required: ${rest}`);
    if (form === '-') return substitute(rest, variables);
    return '';
  });
}

/** @throws when the file has no such service */
export function serviceOf(file: ComposeFile, name: string): ComposeService {
  const found = file.services[name];
  if (found === undefined) throw new Error(`there is no service ${name}`);
  return found;
}

/** Every variable that the file takes from outside. */
export function variablesOf(yaml: string): ReadonlySet<string> {
  const withoutComments = yaml.replace(/^\s*#.*$/gm, '');
  return new Set([...withoutComments.matchAll(/(?<!\$)\$\{(\w+)/g)].map(([, name = '']) => name));
}

export function milliseconds(duration: string): number {
  const units: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 };
  const [, count = '', unit = ''] = duration.match(/^(\d+)(\D+)$/) ?? [];
  return Number(count) * (units[unit] ?? Number.NaN);
}
