/**
 * Describes an invisible character in a secret, or returns null. It comes from the way a file was
 * saved, and the server would only report a wrong password.
 */
export function hiddenFault(text: string): string | null {
  if (text.includes('\ufeff')) return 'a byte order mark (U+FEFF): save the file without one';
  const control = /\p{Cc}/u.exec(text)?.[0];
  if (control !== undefined) {
    const cause = control === '\r' ? ', as Windows line ends leave it' : '';
    return `a control character (${codePoint(control)}${cause})`;
  }
  // The replacement character of a decoder for bytes that are not UTF-8.
  return text.includes('\ufffd') ? 'bytes that are not UTF-8' : null;
}

function codePoint(character: string): string {
  return `U+${(character.codePointAt(0) ?? 0).toString(16).toUpperCase().padStart(4, '0')}`;
}
