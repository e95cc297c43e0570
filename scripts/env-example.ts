import type { Field } from '../src/config/fields.ts';
import { groupVariables } from '../src/config/groups.ts';

const head = `# Every variable processor reads. Copy this file to .env and replace POSTGRES_URL and REDIS_URL; the
# other lines are the defaults, and a line of a variable without one is commented out. Quote a value
# with a space, # or quotes: POSTGRES_URL='postgres://…'. Each secret also has a form NAME_FILE that
# names a file to read it from; set only one.
#
#     node --env-file=.env dist/processor.js run      or: npm start
#
# docs/configuration.md has the same as a table.
`;

/** The text of .env.example, from the same table the service reads its configuration with. */
export function renderEnvExample(): string {
  const parts = groupVariables().flatMap(({ title, members }) =>
    members.map(({ field }, index) => `${index === 0 ? `## ${title}\n\n` : ''}${block(field)}`),
  );
  return [head, ...parts].join('\n');
}

function block({ name, meaning, shape, default: fallback, example, required }: Field): string {
  const state = required ? ' Required.' : '';
  const line =
    fallback !== null ? `${name}=${fallback}` : `${required ? '' : '#'}${name}=${example}`;
  return `# ${meaning}${state} Takes ${shape}.\n${line}\n`;
}

if (import.meta.main) process.stdout.write(renderEnvExample());
