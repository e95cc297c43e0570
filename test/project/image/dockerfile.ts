/** Reads what our Dockerfiles use of the format, and refuses the rest. */

export interface Instruction {
  /** Upper case, such as COPY. */
  readonly name: string;
  readonly text: string;
}

export interface Stage {
  readonly name: string | null;
  readonly base: string;
  readonly instructions: readonly Instruction[];
}

export interface Dockerfile {
  /** ARGs before the first FROM, with their defaults. */
  readonly arguments: ReadonlyMap<string, string>;
  readonly stages: readonly Stage[];
}

const known = new Set([
  'ARG',
  'FROM',
  'WORKDIR',
  'COPY',
  'RUN',
  'ENV',
  'USER',
  'VOLUME',
  'EXPOSE',
  'LABEL',
  'STOPSIGNAL',
  'HEALTHCHECK',
  'ENTRYPOINT',
  'CMD',
]);

/** @throws on an instruction or a form that is not known here */
export function parseDockerfile(text: string): Dockerfile {
  const globals = new Map<string, string>();
  const stages: { name: string | null; base: string; instructions: Instruction[] }[] = [];
  for (const instruction of instructionsOf(text)) {
    if (instruction.name === 'FROM') {
      stages.push({ ...parseFrom(instruction.text, globals), instructions: [] });
      continue;
    }
    const stage = stages.at(-1);
    if (stage !== undefined) stage.instructions.push(instruction);
    else globals.set(...parseArgument(instruction.text));
  }
  return { arguments: globals, stages };
}

function instructionsOf(text: string): Instruction[] {
  const lines = text.split('\n').filter((line) => !/^\s*#/.test(line));
  const whole = lines.join('\n').replace(/\\\n\s*/g, ' ');
  return whole
    .split('\n')
    .filter((line) => line.trim() !== '')
    .map((line) => {
      const [, name = '', rest = ''] = line.trim().match(/^(\w+)\s+(.*)$/) ?? [];
      if (!known.has(name) || rest.includes('<<')) throw new Error(`cannot read: ${line}`);
      return { name, text: rest };
    });
}

function parseFrom(text: string, globals: ReadonlyMap<string, string>) {
  const words = text.split(/\s+/).filter((word) => !word.startsWith('--'));
  const [base = '', as = '', name = null] = words;
  if (as !== '' && as.toUpperCase() !== 'AS') throw new Error(`cannot read: FROM ${text}`);
  return { name, base: substitute(base, globals) };
}

function parseArgument(text: string): [string, string] {
  const at = text.indexOf('=');
  return at < 0 ? [text, ''] : [text.slice(0, at), text.slice(at + 1)];
}

function substitute(text: string, values: ReadonlyMap<string, string>): string {
  return text.replace(/\$\{(\w+)\}/g, (_whole, name: string) => values.get(name) ?? '');
}

/** The text of the stage's last instruction of that name. @throws when there is none */
export function lastOf(stage: Stage, name: string): string {
  const found = stage.instructions.findLast((instruction) => instruction.name === name);
  if (found === undefined) throw new Error(`the stage has no ${name}`);
  return found.text;
}

/** The JSON form of ENTRYPOINT, CMD and the like. @throws on the shell form */
export function execForm(text: string): readonly string[] {
  const parsed: unknown = JSON.parse(text);
  if (!Array.isArray(parsed) || !parsed.every((word) => typeof word === 'string')) {
    throw new Error(`not in exec form: ${text}`);
  }
  return parsed;
}

/** Every pair of the stage's ENV or LABEL, with the build's arguments put in, or their defaults. */
export function pairsOf(
  stage: Stage,
  name: 'ENV' | 'LABEL',
  given: Readonly<Record<string, string>> = {},
): Readonly<Record<string, string>> {
  const ofStage = stage.instructions.filter((instruction) => instruction.name === 'ARG');
  const defaults = ofStage.map(({ text }) => parseArgument(text));
  const values = new Map([...defaults, ...Object.entries(given)]);
  const texts = stage.instructions.filter((instruction) => instruction.name === name);
  const pairs = texts.flatMap(({ text }) => [...text.matchAll(/([\w.]+)=(?:"([^"]*)"|(\S*))/g)]);
  return Object.fromEntries(
    pairs.map(([, key = '', quoted, bare]) => [key, substitute(quoted ?? bare ?? '', values)]),
  );
}
