/** IO values by their width on the wire: id, value, id, value … */
export interface IoGroups {
  readonly one: readonly number[];
  readonly two: readonly number[];
  readonly four: readonly number[];
  readonly eight: ReadonlyArray<readonly [id: number, value: bigint]>;
  /** Null: the device's layout has no such group. Codecs 8, 8E and 16 only. */
  readonly sixteen: ReadonlyArray<readonly [id: number, bytes: Buffer]> | null;
  /** Codec 8E only. */
  readonly variable: ReadonlyArray<readonly [id: number, bytes: Buffer]>;
}

/** Cell data of a codec 7 record. */
export interface Cell {
  readonly lac: number;
  readonly cid: number;
  readonly rssi: number;
  readonly operator: number;
}

/** One record as its device made it, before it is encoded in one form or the other. */
export interface TrackerRecord {
  /** Epoch milliseconds by the device's clock. */
  readonly ts: number;
  readonly priority: number;
  /** Degrees; both null only in codec 7. */
  readonly latitude: number | null;
  readonly longitude: number | null;
  /** This and the next three are null only in codec 7. */
  readonly altitude: number | null;
  readonly angle: number | null;
  readonly satellites: number | null;
  readonly speed: number | null;
  readonly eventIoId: number | null;
  readonly generationType: number | null;
  readonly io: IoGroups;
  readonly cell: Cell | null;
}

/** What the stored row must hold, besides its key and its codec. */
export interface RowContent {
  readonly latitude: number | null;
  readonly longitude: number | null;
  readonly altitude: number | null;
  readonly angle: number | null;
  readonly speed: number | null;
  readonly satellites: number | null;
  readonly priority: number;
  readonly fix: boolean;
  readonly eventIoId: number | null;
  readonly generationType: number | null;
  readonly attributes: Readonly<Record<string, number | string>>;
}

/**
 * The row that a record must become, by the stream contract: 8-byte values beyond 2^53 - 1 as
 * decimal strings, bytes as lowercase hex. Written here a second time, so that a run is checked
 * against the contract and not against the decoder.
 */
export function rowContent(record: TrackerRecord): RowContent {
  const { latitude, longitude, satellites } = record;
  const hasPlace = latitude !== null && longitude !== null && (latitude !== 0 || longitude !== 0);
  return {
    latitude,
    longitude,
    altitude: record.altitude,
    angle: record.angle,
    speed: record.speed,
    satellites,
    priority: record.priority,
    fix: hasPlace && (satellites ?? 0) > 0,
    eventIoId: record.eventIoId,
    generationType: record.generationType,
    attributes: attributesOf(record),
  };
}

function attributesOf({ io, cell }: TrackerRecord): Record<string, number | string> {
  const attributes: Record<string, number | string> = {};
  for (const group of [io.one, io.two, io.four]) {
    for (let at = 0; at + 1 < group.length; at += 2) {
      attributes[String(group[at])] = group[at + 1] ?? 0;
    }
  }
  for (const [id, value] of io.eight) {
    attributes[String(id)] = value <= Number.MAX_SAFE_INTEGER ? Number(value) : value.toString();
  }
  for (const [id, bytes] of io.sixteen ?? []) attributes[String(id)] = bytes.toString('hex');
  for (const [id, bytes] of io.variable) attributes[String(id)] = bytes.toString('hex');
  return cell === null ? attributes : { ...attributes, ...cell };
}
