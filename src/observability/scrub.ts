const maxTextLength = 2000;
/** The longest login a configured URL can hold; a cut must not fall inside one and hide its end. */
const maxLoginLength = 12_288;

/** Removes logins of URLs, passwords and 15-digit numbers (IMEIs) from a text, and bounds it. */
export function scrub(text: string): string {
  return text
    .slice(0, maxTextLength + maxLoginLength)
    .replace(/\S+/g, withoutLogin)
    .replace(/\b(password|passwd|pwd|secret|token)=('[^']*'|[^\s&;]+)/gi, '$1=***')
    .replace(/(?<!\d)\d{15}(?!\d)/g, '[imei]')
    .slice(0, maxTextLength);
}

/** Up to the last `@`: a password that was not encoded may hold `@` and `/` itself. */
function withoutLogin(word: string): string {
  const start = word.indexOf('//');
  const end = word.lastIndexOf('@');
  // A stack names files of scoped packages; file:/// has no login.
  if (word.startsWith('file:///', start - 5)) return word;
  return start < 0 || end < start ? word : `${word.slice(0, start)}//***${word.slice(end)}`;
}
