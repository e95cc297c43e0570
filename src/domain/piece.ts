import type { Edges, FixPage, Range } from './ports.ts';
import type { Fix } from './types.ts';
import type { Window } from './window.ts';

/** The part of a range that one transaction computes. */
export interface Piece {
  readonly range: Range;
  /** Usable fixes, and the first one after them where it is known. */
  readonly fixes: readonly Fix[];
  /** Crossings of hops that end after this are not of the piece; null: no usable fix follows. */
  readonly to: number | null;
  /** The first and the last stored position of the range, usable or not. */
  readonly firstRowTs: number | null;
  readonly lastRowTs: number | null;
  /** What the limit of rows left over. */
  readonly rest: Range | null;
}

/** @param limit the page has at most as many rows; one with as many was cut */
export function pieceOf(range: Range, { rows, after }: FixPage, limit: number): Piece {
  const usable = rows.flatMap(({ fix }) => fix ?? []);
  const firstRowTs = rows[0]?.ts ?? null;
  const lastRowTs = rows.at(-1)?.ts ?? null;
  if (lastRowTs === null || rows.length < limit) {
    const fixes = after === null ? usable : [...usable, after];
    return { range, fixes, to: after?.ts ?? null, firstRowTs, lastRowTs, rest: null };
  }
  // The last usable fix ends the piece, as the first one after a range does.
  const to = usable.at(-1)?.ts ?? lastRowTs;
  const rest = to < range.until ? { ...range, since: to + 1 } : null;
  return { range, fixes: usable, to, firstRowTs, lastRowTs, rest };
}

/** A window, and what of its live crossings may be replaced. */
export interface Framed {
  readonly piece: Piece;
  readonly window: Window;
  /** A crossing beyond it names a position that is not stored any more, so it stays. */
  readonly liveTo: number;
  /** Where no fix before is known, the first stored position: older ones may have been deleted. */
  readonly firstTs: number | null;
}

/**
 * Frames a piece by what is stored around it. Positions may have been deleted, by retention or with
 * their device, and what is missing is no reason to retract what it once showed.
 * @param edges null: they were not read, for a piece without fixes needs none
 * @returns null where nothing is stored that the range could be about
 */
export function frame(piece: Piece, edges: Edges | null): Framed | null {
  const { range, fixes, to, firstRowTs, lastRowTs } = piece;
  if (fixes.length === 0 && firstRowTs === null) return null;
  const previous = edges?.previous ?? null;
  const firstTs = previous === null ? (edges?.firstTs ?? firstRowTs) : null;
  const start = Math.max(range.since, firstTs ?? fixes[0]?.ts ?? range.since);
  const window: Window = {
    previous,
    fixes,
    from: previous === null ? start - 1 : previous.ts,
    to: to ?? Infinity,
  };
  const liveTo = to ?? edges?.lastTs ?? lastRowTs ?? window.from;
  return { piece, window, liveTo, firstTs };
}
