/** A road that goes north along one meridian: a place on it is a number of metres. */
import type { Fix } from '../../src/domain/types.ts';

export const roadLongitude = 25;
const latitude = 54;
const metresPerDegree = 111_195;

export const northOf = (metres: number) => latitude + metres / metresPerDegree;

/** A square of 100 m across the road, from `metres` on. */
export function squareAt(metres: number): object {
  const [south, north] = [northOf(metres), northOf(metres + 100)];
  const [west, east] = [roadLongitude - 0.001, roadLongitude + 0.001];
  return {
    type: 'Polygon',
    coordinates: [
      [
        [west, south],
        [east, south],
        [east, north],
        [west, north],
        [west, south],
      ],
    ],
  };
}

export function fixAt(ts: number, metres: number): Fix {
  return { ts, longitude: roadLongitude, latitude: northOf(metres) };
}

/** One fix a second, 10 m apart. */
export function driveFrom(startTs: number, fromMetres: number, toMetres: number): Fix[] {
  const steps = Math.abs(toMetres - fromMetres) / 10;
  const sign = Math.sign(toMetres - fromMetres);
  return Array.from({ length: steps + 1 }, (_, step) =>
    fixAt(startTs + step * 1000, fromMetres + sign * step * 10),
  );
}

/** One fix in ten seconds at the same place. */
export function parkedFrom(startTs: number, metres: number, fixes: number): Fix[] {
  return Array.from({ length: fixes }, (_, index) => fixAt(startTs + index * 10_000, metres));
}
