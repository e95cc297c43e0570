import { variables } from '../src/config/variables.ts';

/** The text of .env.example, from the same table the service reads its configuration with. */
export function renderEnvExample(): string {
  const head =
    '# Every variable processor reads, with its default. Lines of variables without one are commented\n# out. Each secret also has a form NAME_FILE that names a file to read it from; set only one.\n';
  const parts = Object.values(variables).map((field) => {
    const { name, meaning, shape, default: fallback, example, required } = field;
    const state = required ? ' Required.' : '';
    const line = fallback === null ? `#${name}=${example}` : `${name}=${fallback}`;
    return `# ${meaning}${state} Takes ${shape}.\n${line}\n`;
  });
  return [head, ...parts].join('\n');
}

if (import.meta.main) process.stdout.write(renderEnvExample());
