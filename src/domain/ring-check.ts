import Flatbush from 'flatbush';
import type { Shape } from './shape.ts';

/** Start offsets of all edges in a shape's coordinates; each edge ends two numbers further on. */
function edgesOf({ ringEnds }: Shape): number[] {
  const edges: number[] = [];
  let at = 0;
  for (const end of ringEnds) {
    for (; at + 3 < end; at += 2) edges.push(at);
    at = end;
  }
  return edges;
}

/**
 * Whether an edge of a polygon crosses another one of its rings, such as in a bow tie: what is inside
 * would then not be what the map shows. Rings that touch in a point are taken.
 */
export function ringsIntersect(shape: Shape): boolean {
  const edges = edgesOf(shape);
  return edges.length <= FEW_EDGES
    ? someOfFewCross(shape.coordinates, edges)
    : someCross(shape.coordinates, edges);
}

/** Up to here comparing all pairs takes less time than an index of the edges. */
const FEW_EDGES = 100;

function someOfFewCross(c: Float64Array, edges: readonly number[]): boolean {
  for (let a = 0; a < edges.length; a += 1) {
    const one = edges[a] ?? 0;
    for (let b = a + 1; b < edges.length; b += 1) {
      const other = edges[b] ?? 0;
      if (boxesMeet(c, one, other) && cross(c, one, other)) return true;
    }
  }
  return false;
}

function boxesMeet(c: Float64Array, a: number, b: number): boolean {
  return overlap(c, a, b) && overlap(c, a + 1, b + 1);
}

/** Whether two edges overlap in one coordinate. */
function overlap(c: Float64Array, a: number, b: number): boolean {
  const [a1, a2, b1, b2] = [c[a] ?? 0, c[a + 2] ?? 0, c[b] ?? 0, c[b + 2] ?? 0];
  return Math.max(a1, a2) >= Math.min(b1, b2) && Math.max(b1, b2) >= Math.min(a1, a2);
}

function someCross(c: Float64Array, edges: readonly number[]): boolean {
  const index = new Flatbush(edges.length);
  for (const at of edges) index.add(...edgeBox(c, at));
  index.finish();
  return edges.some((at, position) =>
    index
      .search(...edgeBox(c, at))
      .some((other) => other > position && cross(c, at, edges[other] ?? 0)),
  );
}

function edgeBox(c: Float64Array, at: number): [number, number, number, number] {
  const [x1, y1, x2, y2] = [c[at] ?? 0, c[at + 1] ?? 0, c[at + 2] ?? 0, c[at + 3] ?? 0];
  return [Math.min(x1, x2), Math.min(y1, y2), Math.max(x1, x2), Math.max(y1, y2)];
}

/** Whether two edges cross in a point that is an end of neither. */
function cross(c: Float64Array, a: number, b: number): boolean {
  return side(c, a, b) * side(c, a, b + 2) < 0 && side(c, b, a) * side(c, b, a + 2) < 0;
}

/** On which side of the edge at `edge` the point at `point` lies: the sign; 0 on its line. */
function side(c: Float64Array, edge: number, point: number): number {
  const [x, y] = [c[edge] ?? 0, c[edge + 1] ?? 0];
  const [dx, dy] = [(c[edge + 2] ?? 0) - x, (c[edge + 3] ?? 0) - y];
  return Math.sign(dx * ((c[point + 1] ?? 0) - y) - dy * ((c[point] ?? 0) - x));
}
