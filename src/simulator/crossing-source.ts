import type { CrossingSource, StoredCrossing } from './crossing-check.ts';
import type { Queryable } from './ledger-source.ts';

/** Where the owner keeps timing records; DOMAIN_TIMING_TABLE. */
export interface TimingTableName {
  readonly schema: string;
  readonly name: string;
}

/** Devices that one query reads. */
const pageDevices = 200;

function statementOf({ schema, name }: TimingTableName) {
  return `
SELECT device.imei AS device, record.geofence::pg_catalog.text AS geofence, record.direction AS direction,
       (extract(epoch FROM record.at) * 1000)::pg_catalog.float8 AS at
FROM ${quoted(schema)}.${quoted(name)} AS record
JOIN (SELECT DISTINCT imei, device FROM processor_contract.devices_v1 WHERE imei = ANY ($1)) AS device
  ON device.device = record.device::pg_catalog.text
WHERE record.superseded_at IS NULL AND record.source = 'processor'`;
}

/** Live timing records of devices, which the view `devices_v1` names. */
export function createCrossingSource(database: Queryable, table: TimingTableName): CrossingSource {
  const text = statementOf(table);
  return {
    async *crossings(devices) {
      for (let from = 0; from < devices.length; from += pageDevices) {
        const values = [devices.slice(from, from + pageDevices)];
        const { rows } = await database.query({ name: 'ledger-crossings', text, values });
        const page = rows.filter(isStoredCrossing);
        if (page.length !== rows.length)
          throw new TypeError('timing records: a row of another shape');
        yield page;
      }
    },
  };
}

function isStoredCrossing(row: unknown): row is StoredCrossing {
  return (
    typeof row === 'object' &&
    row !== null &&
    'device' in row &&
    typeof row.device === 'string' &&
    'geofence' in row &&
    typeof row.geofence === 'string' &&
    'direction' in row &&
    typeof row.direction === 'string' &&
    'at' in row &&
    typeof row.at === 'number'
  );
}

function quoted(name: string): string {
  return `"${name.replaceAll('"', '""')}"`;
}
