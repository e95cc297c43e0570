import { hash } from 'node:crypto';
import { type Circuit, degreesOf } from './circuit.ts';

/** A geofence that a fleet drives through, as its owner would enter it. */
export interface SimulatedGeofence {
  /** A UUID, the same for the same fleet. */
  readonly id: string;
  readonly name: string;
  /** GeoJSON. */
  readonly shape: { readonly type: string; readonly coordinates: unknown };
  readonly radiusM: number | null;
  readonly marginM: number;
}

/**
 * Where a leg runs through a geofence, in metres along the leg. The shape is laid out so that the leg
 * cuts it exactly here, so the times of crossings follow from the drive, without geometry.
 */
export interface Stretch {
  readonly leg: number;
  /** Index in `plans`. */
  readonly geofence: number;
  /** The margin begins. */
  readonly outerFrom: number;
  /** The shape begins. */
  readonly from: number;
  readonly to: number;
  readonly outerTo: number;
  /** Of shape and margin together, 0 for polygons: a plane may be off by a share of it. */
  readonly radiusM: number;
}

type Corner = readonly [along: number, across: number];

interface Plan {
  readonly name: string;
  readonly leg: number;
  readonly shape: 'Polygon' | 'MultiPolygon' | 'Point' | 'LineString';
  /** Polygons of rings of corners; a line or a centre is one ring. */
  readonly parts: readonly (readonly (readonly Corner[])[])[];
  readonly radiusM: number | null;
  readonly marginM: number;
  /** Where the leg, `across` 0, is inside the shape. */
  readonly inside: readonly (readonly [from: number, to: number])[];
  /** How much earlier and later the margin begins and ends. */
  readonly marginAlong: number;
}

const CIRCLE = { radiusM: 300, marginM: 20, aside: 60, along: 1_250 } as const;
/** Half of the chord that the leg cuts out of a circle. */
const chord = (radius: number) => Math.sqrt(radius ** 2 - CIRCLE.aside ** 2);
const innerChord = chord(CIRCLE.radiusM);

function quad(from: Corner, to: Corner, farTo: Corner, farFrom: Corner): Corner[] {
  return [from, to, farTo, farFrom, from];
}

/** A rectangle along a leg; its edges are at right angles to the leg. */
function block(from: number, to: number, wide: number): Corner[] {
  return quad([from, -wide], [to, -wide], [to, wide], [from, wide]);
}

/** One geofence a leg: each kind of shape, a gate that is passed between two records, and a depot. */
export const plans: readonly Plan[] = [
  {
    name: 'customer',
    leg: 0,
    shape: 'Point',
    parts: [[[[CIRCLE.along, CIRCLE.aside]]]],
    radiusM: CIRCLE.radiusM,
    marginM: CIRCLE.marginM,
    inside: [[CIRCLE.along - innerChord, CIRCLE.along + innerChord]],
    marginAlong: chord(CIRCLE.radiusM + CIRCLE.marginM) - innerChord,
  },
  {
    name: 'ring',
    leg: 1,
    shape: 'Polygon',
    // Slanted edges, so the leg cuts them at other angles than a right one.
    parts: [
      [
        quad([600, -300], [2_000, -300], [1_800, 300], [800, 300]),
        quad([1_050, -150], [1_450, -150], [1_550, 150], [1_150, 150]),
      ],
    ],
    radiusM: null,
    marginM: 0,
    inside: [
      [700, 1_100],
      [1_500, 1_900],
    ],
    marginAlong: 0,
  },
  {
    name: 'road',
    leg: 2,
    shape: 'LineString',
    parts: [
      [
        [
          [1_250, -900],
          [1_250, 800],
          [900, 1_200],
        ],
      ],
    ],
    radiusM: 60,
    marginM: 10,
    inside: [[1_190, 1_310]],
    marginAlong: 10,
  },
  {
    name: 'two yards',
    leg: 3,
    shape: 'MultiPolygon',
    parts: [[quad([550, -200], [950, -200], [850, 200], [650, 200])], [block(1_500, 2_000, 250)]],
    radiusM: null,
    marginM: 0,
    inside: [
      [600, 900],
      [1_500, 2_000],
    ],
    marginAlong: 0,
  },
  {
    name: 'gate',
    leg: 4,
    shape: 'Polygon',
    parts: [[block(1_250, 1_262, 25)]],
    radiusM: null,
    marginM: 0,
    inside: [[1_250, 1_262]],
    marginAlong: 0,
  },
  {
    name: 'depot',
    leg: 5,
    shape: 'Polygon',
    parts: [[block(800, 1_700, 200)]],
    radiusM: null,
    marginM: 30,
    inside: [[800, 1_700]],
    marginAlong: 30,
  },
];

/** Where every circuit runs through its geofences, in the order it is driven. */
export const stretches: readonly Stretch[] = plans.flatMap((plan, geofence) =>
  plan.inside.map(([from, to]) => ({
    leg: plan.leg,
    geofence,
    outerFrom: from - plan.marginAlong,
    from,
    to,
    outerTo: to + plan.marginAlong,
    radiusM: plan.radiusM === null ? 0 : plan.radiusM + plan.marginM,
  })),
);

/** The geofences of one circuit, in the order of `plans`. @param owner sets the ids apart */
export function geofencesOn(circuit: Circuit, owner: string): SimulatedGeofence[] {
  return plans.map((plan) => ({
    id: uuidOf(`${owner}/${circuit.name}/${plan.name}`),
    name: `${circuit.name} ${plan.name}`,
    shape: { type: plan.shape, coordinates: coordinatesOf(circuit, plan) },
    radiusM: plan.radiusM,
    marginM: plan.marginM,
  }));
}

function coordinatesOf(circuit: Circuit, { leg, shape, parts }: Plan): unknown {
  const polygons = parts.map((rings) =>
    rings.map((ring) =>
      ring.map(([along, across]) => {
        const { longitude, latitude } = degreesOf(circuit, { leg, along, across });
        return [longitude, latitude];
      }),
    ),
  );
  switch (shape) {
    case 'MultiPolygon':
      return polygons;
    case 'Polygon':
      return polygons[0];
    case 'LineString':
      return polygons[0]?.[0];
    case 'Point':
      return polygons[0]?.[0]?.[0];
  }
}

/** A UUID of version 8 over a text. */
export function uuidOf(text: string): string {
  const bytes = hash('sha256', text, 'buffer').subarray(0, 16);
  bytes.writeUInt8((bytes.readUInt8(6) & 0x0f) | 0x80, 6);
  bytes.writeUInt8((bytes.readUInt8(8) & 0x3f) | 0x80, 8);
  return bytes.toString('hex').replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-');
}
