import { z } from 'zod';

/** What a drive left in the database, oldest first. */
export interface StoredDrive {
  readonly fixes: readonly PointRow[];
  readonly geofences: readonly GeofenceRow[];
  readonly crossings: readonly CrossingRow[];
}

export interface PointRow {
  readonly latitude: number;
  readonly longitude: number;
}

export interface GeofenceRow {
  readonly name: string;
  /** GeoJSON. */
  readonly shape: unknown;
  readonly radius: number | null;
}

export interface CrossingRow extends PointRow {
  readonly geofence: string;
  readonly direction: string;
  readonly method: string;
  /** As text: hours, minutes, seconds and tenths. */
  readonly at: string;
}

type Xy = readonly [x: number, y: number];
type Project = (place: PointRow) => Xy;

const map = { left: 20, top: 56, width: 620, height: 620 } as const;
const list = { left: 672, top: 84, line: 22 } as const;
const size = { width: 1_080, height: 700 } as const;
const METRES_PER_DEGREE = 111_195;
/** Metres around the drive that the map shows too. */
const BORDER_M = 450;

const position = z.tuple([z.number(), z.number()]).rest(z.number());
const shapeOf = z.discriminatedUnion('type', [
  z.object({ type: z.literal('Point'), coordinates: position }),
  z.object({ type: z.literal('LineString'), coordinates: z.array(position) }),
  z.object({ type: z.literal('Polygon'), coordinates: z.array(z.array(position)) }),
  z.object({ type: z.literal('MultiPolygon'), coordinates: z.array(z.array(z.array(position))) }),
]);
type GeoPosition = z.infer<typeof position>;

/** The colours follow the reader's scheme; without one that is known, the light ones hold. */
const style = `
.back{fill:#fff}.text{fill:#1f2328}.dim{fill:#59636e}.way{stroke:#59636e}.fix{fill:#59636e}
.area{fill:#0969da22;stroke:#0969da}.enter{fill:#1a7f37}.exit{fill:#bc4c00}
@media (prefers-color-scheme:dark){.back{fill:#14181f}.text{fill:#dbe2ee}.dim{fill:#8a94a6}.way{stroke:#8a94a6}
.fix{fill:#8a94a6}.area{fill:#58a6ff26;stroke:#58a6ff}.enter{fill:#3fb950}.exit{fill:#f0883e}}
text{font-family:DejaVu Sans,Helvetica,Arial,sans-serif;font-size:13px}.head{font-size:15px}.number{font-size:11px}
.way{fill:none;stroke-width:1.2}.area{stroke-width:1.4;stroke-linejoin:round;fill-rule:evenodd}`;

/** A map of the drive with its geofences, each crossing with a number, and the list of them. */
export function drawDrive(drive: StoredDrive): string {
  const { scale, at } = projectionOf(drive.fixes);
  const parts = [
    text(map.left, 30, 'head text', 'One lap through six geofences'),
    text(
      map.left,
      48,
      'dim',
      `${drive.fixes.length} records; ${drive.crossings.length} timing records found`,
    ),
    ...drive.geofences.map((geofence) => drawGeofence(geofence, at, scale)),
    `<path class="way" d="${lines(drive.fixes.map(at))}"/>`,
    ...drive.fixes.map((fix) => dot('fix', at(fix), 1.6)),
    ...drive.geofences.map((geofence) => label(geofence, at)),
    ...drive.crossings.flatMap((crossing, index) => drawCrossing(crossing, index + 1, at)),
    ...drive.crossings.flatMap((crossing, index) => listed(crossing, index)),
  ];
  const { width, height } = size;
  const title = 'A drive, its geofences and the crossings found';
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}" role="img" aria-label="${title}">
<style>${style}</style>
<rect class="back" width="100%" height="100%" rx="8"/>
${parts.join('\n')}
</svg>
`;
}

function projectionOf(fixes: readonly PointRow[]): {
  readonly at: Project;
  readonly scale: number;
} {
  const latitudes = fixes.map(({ latitude }) => latitude);
  const longitudes = fixes.map(({ longitude }) => longitude);
  const [south, north] = [Math.min(...latitudes), Math.max(...latitudes)];
  const [west, east] = [Math.min(...longitudes), Math.max(...longitudes)];
  const perLongitude = METRES_PER_DEGREE * Math.cos((((south + north) / 2) * Math.PI) / 180);
  const across = Math.max((east - west) * perLongitude, (north - south) * METRES_PER_DEGREE);
  const scale = map.width / (across + 2 * BORDER_M);
  const [middleX, middleY] = [map.left + map.width / 2, map.top + map.height / 2];
  return {
    scale,
    at: ({ latitude, longitude }) => [
      middleX + (longitude - (west + east) / 2) * perLongitude * scale,
      middleY - (latitude - (south + north) / 2) * METRES_PER_DEGREE * scale,
    ],
  };
}

function placeOf([longitude, latitude]: GeoPosition): PointRow {
  return { longitude, latitude };
}

function drawGeofence({ shape, radius }: GeofenceRow, at: Project, scale: number): string {
  const read = shapeOf.parse(shape);
  switch (read.type) {
    case 'Point':
      return dot('area', at(placeOf(read.coordinates)), (radius ?? 0) * scale);
    case 'LineString': {
      const points = read.coordinates.map((one) => at(placeOf(one)));
      const width = (2 * (radius ?? 0) * scale).toFixed(1);
      return `<path class="area" style="fill:none;stroke-opacity:.35;stroke-width:${width};stroke-linecap:round" d="${lines(points)}"/>`;
    }
    case 'Polygon':
      return polygon([read.coordinates], at);
    case 'MultiPolygon':
      return polygon(read.coordinates, at);
  }
}

function polygon(parts: readonly (readonly (readonly GeoPosition[])[])[], at: Project): string {
  const rings = parts.flat(1).map((ring) => `${lines(ring.map((one) => at(placeOf(one))))}Z`);
  return `<path class="area" d="${rings.join('')}"/>`;
}

/** The name, on the side of the geofence that faces away from the middle of the map. */
function label({ name, shape }: GeofenceRow, at: Project): string {
  const read = shapeOf.parse(shape);
  // A corridor leads across the map: its name stands at its first end.
  const shown = read.type === 'LineString' ? read.coordinates.slice(0, 1) : read.coordinates;
  const all = [shown].flat(4).filter((value) => typeof value === 'number');
  const points: Xy[] = [];
  for (let index = 0; index + 1 < all.length; index += 2) {
    points.push(at({ longitude: all[index] ?? 0, latitude: all[index + 1] ?? 0 }));
  }
  const mean = (axis: 0 | 1) => points.reduce((sum, point) => sum + point[axis], 0) / points.length;
  const [x, y] = [mean(0), mean(1)];
  const [awayX, awayY] = [x - map.left - map.width / 2, y - map.top - map.height / 2];
  const length = Math.hypot(awayX, awayY);
  const distance = read.type === 'LineString' ? 22 : 50;
  const [left, top] = [x + (awayX / length) * distance, y + (awayY / length) * distance];
  return text(left, top + 4, 'text', name.split(' ').slice(1).join(' '), 'middle');
}

function drawCrossing(crossing: CrossingRow, number: number, at: Project): string[] {
  const [x, y] = at(crossing);
  const [inX, inY] = [map.left + map.width / 2 - x, map.top + map.height / 2 - y];
  const length = Math.hypot(inX, inY);
  // Entries outside of the course and exits inside of it: pairs may lie close together.
  const away = crossing.direction === 'enter' ? -15 : 15;
  const [left, top] = [x + (inX / length) * away, y + (inY / length) * away + 4];
  return [
    dot(crossing.direction === 'enter' ? 'enter' : 'exit', [x, y], 4),
    text(left, top, `number ${crossing.direction}`, String(number), 'middle'),
  ];
}

function listed({ at, geofence, direction, method }: CrossingRow, index: number): string[] {
  const y = list.top + index * list.line;
  const name = geofence.split(' ').slice(1).join(' ');
  return [
    text(list.left, y, `${direction}`, String(index + 1), 'end'),
    text(list.left + 14, y, 'text', at),
    text(list.left + 110, y, direction, direction),
    text(list.left + 160, y, 'text', name),
    text(list.left + 270, y, 'dim', method),
  ];
}

function lines(points: readonly Xy[]): string {
  return points
    .map(([x, y], index) => `${index === 0 ? 'M' : 'L'}${x.toFixed(1)} ${y.toFixed(1)}`)
    .join('');
}

function dot(name: string, [x, y]: Xy, radius: number): string {
  return `<circle class="${name}" cx="${x.toFixed(1)}" cy="${y.toFixed(1)}" r="${radius.toFixed(1)}"/>`;
}

function text(x: number, y: number, name: string, content: string, anchor = 'start'): string {
  const escaped = content.replaceAll('&', '&amp;').replaceAll('<', '&lt;');
  return `<text class="${name}" x="${x.toFixed(1)}" y="${y.toFixed(1)}" text-anchor="${anchor}">${escaped}</text>`;
}
