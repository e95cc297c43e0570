/**
 * The only row of an answer that always has one. @throws RangeError where it has none: a made-up
 * value would turn an answer that cannot be read into success.
 */
export function oneRow<Row>(rows: readonly Row[]): Row {
  const [row] = rows;
  if (row === undefined) throw new RangeError('the database answered without a row');
  return row;
}
