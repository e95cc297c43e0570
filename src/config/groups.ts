import type { Field } from './fields.ts';
import { variables } from './variables.ts';

/** The variable that each group of the table begins with, for whoever reads the list of them. */
const beginnings: { readonly [Key in keyof typeof variables]?: string } = {
  redisUrl: 'Redis',
  streamKey: 'Stream, consumer group and dead letters',
  postgresUrl: 'PostgreSQL',
  timescaledb: 'The table and its life',
  writers: 'Batches and what is in flight',
  tsMaxPastMs: 'What is accepted',
  deviceCapacity: 'State of devices',
  httpHost: 'Endpoint, log and tracing',
  retriesPerMinute: 'Retries and breakers',
  stallLimitMs: 'Standing still, panic and stop',
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
