import type { CliIo } from './io.ts';

/** What the output can show. */
export interface Terminal {
  /** Lines are wrapped at this width; null: to a file or a pipe, where nothing is wrapped. */
  readonly columns: number | null;
  readonly rows: number | null;
  /** Whether the cursor may be moved and the screen be redrawn. */
  readonly isScreen: boolean;
  readonly hasColor: boolean;
}

/** NO_COLOR is https://no-color.org: any value but the empty one turns colour off. */
export function terminalOf({ stdout, env }: Pick<CliIo, 'stdout' | 'env'>): Terminal {
  const isTerminal = stdout.isTTY === true;
  const isScreen = isTerminal && env.TERM !== 'dumb';
  return {
    columns: isTerminal ? sizeOf(stdout.columns) : null,
    rows: isTerminal ? sizeOf(stdout.rows) : null,
    isScreen,
    hasColor: isScreen && (env.NO_COLOR ?? '') === '',
  };
}

/** A terminal without a size reports 0. */
function sizeOf(size: number | undefined): number | null {
  return size !== undefined && size > 0 ? size : null;
}

/** Breaks a line at blanks; what follows is indented. A longer word is broken anywhere. */
export function wrap(line: string, columns: number | null, indent: number): string[] {
  if (columns === null || line.length <= columns) return [line];
  const lines: string[] = [];
  const pad = ' '.repeat(Math.min(indent, Math.floor(columns / 2)));
  let rest = line;
  while (rest.length > columns) {
    const blank = rest.lastIndexOf(' ', columns);
    const end = blank > pad.length ? blank : columns;
    lines.push(rest.slice(0, end).trimEnd());
    rest = `${pad}${rest.slice(end).trimStart()}`;
  }
  if (rest.trim() !== '') lines.push(rest);
  return lines;
}

const colors = { red: '\u001b[31m', yellow: '\u001b[33m', green: '\u001b[32m' } as const;
const reset = '\u001b[0m';

/** Colours text where the terminal shows colours. */
export function paint(terminal: Terminal, color: keyof typeof colors, text: string): string {
  return terminal.hasColor ? `${colors[color]}${text}${reset}` : text;
}
