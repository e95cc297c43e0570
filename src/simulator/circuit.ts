/** A closed course of straight legs, in metres around a centre. */
export interface Circuit {
  readonly name: string;
  readonly latitude: number;
  readonly longitude: number;
  /** Metres above the sea. */
  readonly altitude: number;
}

/** A place on a circuit: metres along a leg, and metres to the left of it. */
export interface CircuitPoint {
  readonly leg: number;
  readonly along: number;
  readonly across: number;
}

export interface Degrees {
  readonly latitude: number;
  /** May be beyond ±180 for a place across it. */
  readonly longitude: number;
}

/** The legs are the sides of a hexagon, so each is as long as the hexagon's radius. */
export const legs = 6;
export const legMetres = 2_500;

/** Both hemispheres, the far north, and one circuit across ±180°. */
export const circuits: readonly Circuit[] = [
  { name: 'Vilnius', latitude: 54.8986, longitude: 25.0712, altitude: 112 },
  { name: 'Tromsø', latitude: 69.6496, longitude: 18.956, altitude: 12 },
  { name: 'Taveuni', latitude: -16.8342, longitude: 179.9931, altitude: 40 },
  { name: 'Nairobi', latitude: -1.2093, longitude: 36.9023, altitude: 1661 },
  { name: 'Bogotá', latitude: 4.8331, longitude: -74.1094, altitude: 2640 },
];

/** Of the mean sphere. A plane this small is affine in degrees, so straight legs stay straight. */
const METRES_PER_DEGREE = (6_371_008.8 * Math.PI) / 180;

/** Degrees of a place on a circuit. */
export function degreesOf(circuit: Circuit, { leg, along, across }: CircuitPoint): Degrees {
  const direction = directionOf(leg);
  const corner = direction - Math.PI / 3 - Math.PI / 3;
  const [sine, cosine] = [Math.sin(direction), Math.cos(direction)];
  const east = Math.cos(corner) * legMetres + cosine * along - sine * across;
  const north = Math.sin(corner) * legMetres + sine * along + cosine * across;
  const shrink = Math.cos((circuit.latitude * Math.PI) / 180);
  return {
    latitude: circuit.latitude + north / METRES_PER_DEGREE,
    longitude: circuit.longitude + east / (METRES_PER_DEGREE * shrink),
  };
}

/** Degrees clockwise from north on a leg. */
export function headingOf(leg: number): number {
  return (((90 - (directionOf(leg) * 180) / Math.PI) % 360) + 360) % 360;
}

/** Radians counter-clockwise from east. A circuit is driven counter-clockwise. */
function directionOf(leg: number): number {
  return (leg * Math.PI) / 3;
}
