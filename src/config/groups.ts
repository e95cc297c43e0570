import type { Field } from './fields.ts';
import { variables } from './variables.ts';

/** The first variable of each group, with the title of the group. */
const beginnings: { readonly [Key in keyof typeof variables]?: string } = {
  redisUrl: 'Redis',
  streamKey: 'Stream, consumer group and dead letters',
  postgresUrl: 'PostgreSQL',
  timescaledb: 'Table, compression and retention',
  writers: 'Batches and entries in flight',
  tsMaxPastMs: 'Accepted entries',
  deviceCapacity: 'Device state',
  domain: 'Geofences and timing records',
  httpHost: 'Endpoint, log and tracing',
  retriesPerMinute: 'Retries and breakers',
  stallLimitMs: 'Stall limit, panic dump and stop',
  auditKey: 'Audit',
};

export interface Group {
  readonly title: string;
  readonly members: readonly Member[];
}

export interface Member {
  readonly key: keyof typeof variables;
  readonly field: Field;
}

/** All variables in the order of their table, in groups. */
export function groupVariables(): readonly Group[] {
  const groups: { title: string; members: Member[] }[] = [];
  for (const key of Object.keys(variables)) {
    if (!isKey(key)) continue;
    const title = beginnings[key];
    if (title !== undefined) groups.push({ title, members: [] });
    groups.at(-1)?.members.push({ key, field: variables[key] });
  }
  return groups;
}

function isKey(key: string): key is keyof typeof variables {
  return Object.hasOwn(variables, key);
}
