/**
 * A character of a secret that no editor shows: it comes from how a file was written, and the
 * server would only answer that the password is wrong. Null where there is none.
 */
export function hiddenFault(text: string): string | null {
  if (text.includes('\ufeff')) return 'a byte order mark (U+FEFF): save the file without one';
  const control = /\p{Cc}/u.exec(text)?.[0];
  if (control !== undefined) {
    const cause = control === '\r' ? ', as Windows line ends leave it' : '';
    return `a control character (${codePoint(control)}${cause})`;
  }
  // What a decoder puts in place of bytes that are not UTF-8.
  return text.includes('\ufffd') ? 'bytes that are not UTF-8' : null;
}

function codePoint(character: string): string {
  return `U+${(character.codePointAt(0) ?? 0).toString(16).toUpperCase().padStart(4, '0')}`;
}
