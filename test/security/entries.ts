/** Entries of form A for the tests of this folder. */
export const stream = 'telemetry:teltonika';

export function imei(index: number): string {
  return String(350_000_000_000_000 + index);
}

/** The fields of one entry; a record of device `index % 5`, a second after the one before. */
export function entry(index: number, changes: object = {}): string[] {
  const device = imei(index % 5);
  const timestamp = new Date(Date.UTC(2026, 10, 1) + index * 1000).toISOString();
  const payload = {
    device_id: device,
    timestamp,
    latitude: 54.7,
    longitude: 25.3,
    altitude: -5,
    angle: 90,
    speed: 50,
    satellites: 9,
    priority: 0,
    event_io_id: 0,
    attributes: { '239': 1, '66': 12_400 },
    ...changes,
  };
  const named = { device_id: device, ts: timestamp, codec: '8E', payload: JSON.stringify(payload) };
  return Object.entries(named).flat();
}

/** The same, of a device that its `device_id` field names, whatever the payload says. */
export function entryOf(device: string, index: number, changes: object): string[] {
  return entry(index, changes).map((value, at) => (at === 1 ? device : value));
}
