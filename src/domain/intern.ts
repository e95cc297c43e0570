/** Gives equal texts one string: few scopes are on many rows, and every row brings its own. */
export function internStrings(): (text: string) => string {
  const known = new Map<string, string>();
  return (text) => {
    const same = known.get(text);
    if (same !== undefined) return same;
    known.set(text, text);
    return text;
  };
}
