/**
 * Control characters, escape sequences, line and paragraph separators, direction marks and other
 * invisible characters, lone surrogates, and what Unicode leaves open.
 */
const hidden = /[\p{C}\p{Zl}\p{Zp}]/gu;

/**
 * Makes text of servers, devices and entries printable on one line of a terminal: what could move
 * the cursor, turn the direction of writing, forge a line or hide is shown as `\u{…}`. The one
 * function for it; tables, views, messages and JSON use it.
 */
export function printable(text: string): string {
  return text.replace(hidden, (found) => `\\u{${(found.codePointAt(0) ?? 0).toString(16)}}`);
}

/** Whether `printable` leaves the text as it is. */
export function isPrintable(text: string): boolean {
  return text.search(hidden) < 0;
}

/** Those of `paint`. */
const colors = ['\u001b[31m', '\u001b[33m', '\u001b[32m', '\u001b[0m'];

/** The same for text of several lines, which may have the colours of `paint`. */
export function printableLines(text: string): string {
  return text
    .split('\n')
    .map((line) => paintedLine(line))
    .join('\n');
}

function paintedLine(line: string): string {
  const color = colors.find((one) => line.includes(one));
  if (color === undefined) return printable(line);
  const at = line.indexOf(color);
  const [before, after] = [line.slice(0, at), line.slice(at + color.length)];
  return `${paintedLine(before)}${color}${paintedLine(after)}`;
}

/** A value as one line of JSON that is printable too; a parser reads the same value. */
export function jsonLine(value: unknown): string {
  const escaped = (found: string) =>
    [...Array(found.length).keys()]
      .map((at) => `\\u${found.charCodeAt(at).toString(16).padStart(4, '0')}`)
      .join('');
  return JSON.stringify(value).replace(hidden, escaped);
}
