/**
 * Returns the single row of a result that always has one. @throws RangeError if there is none,
 * because a default value would hide the failure.
 */
export function oneRow<Row>(rows: readonly Row[]): Row {
  const [row] = rows;
  if (row === undefined) throw new RangeError('the database answered without a row');
  return row;
}
