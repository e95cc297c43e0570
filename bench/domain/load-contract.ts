/** Loads the geofences of a database as the service does, and prints what that cost. See contract.ts. */
import { setTimeout } from 'node:timers/promises';
import pg from 'pg';
import { contractWatch } from '../../src/db/domain-watch.ts';
import { serverMs } from './cost.ts';

const polls = 20;
const collections = 3;
const collectedMs = 1_000;
const url = process.argv[2] ?? '';
const options = {
  maxGeofences: 100_000,
  maxVertices: 5_000_000,
  recomputeHorizonMs: 30 * 86_400_000,
  timingTable: { schema: 'public', name: 'timing_records' },
  subjectColumn: 'vehicle',
};

const client = new pg.Client(url);
await client.connect();
const { rows } = await client.query<{ pid: number }>('SELECT pg_backend_pid() AS pid');
const pid = rows[0]?.pid ?? 0;
const watch = contractWatch(options);
const before = await memory();
const began = performance.now();
const turn = await watch.turn(client);
const seconds = (performance.now() - began) / 1000;
if (!turn.ok) throw new Error(JSON.stringify(turn.faults));
const after = await memory();
const pollMs = await serverMs(pid, async () => {
  for (let poll = 0; poll < polls; poll += 1) await watch.turn(client);
});
process.stdout.write(
  JSON.stringify({
    domain_contract_geofences: turn.contract.index.all.length,
    domain_contract_load_s: seconds,
    domain_contract_rss_mb: after.resident - before.resident,
    domain_contract_live_mb: after.live - before.live,
    domain_contract_poll_ms: pollMs / polls,
  }),
);
await client.end();

/**
 * Megabytes that the process has of the machine, and those of them that are in use. The engine gives
 * freed pages back some time after it collected them.
 */
async function memory(): Promise<{ readonly resident: number; readonly live: number }> {
  for (let collection = 0; collection < collections; collection += 1) {
    globalThis.gc?.();
    await setTimeout(collectedMs);
  }
  const { rss, heapUsed, external } = process.memoryUsage();
  return { resident: rss / 1e6, live: (heapUsed + external) / 1e6 };
}
