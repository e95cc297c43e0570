import { readFile } from 'node:fs/promises';
import { expect, test } from 'vitest';
import { runConsumersList, runConsumersRemove } from '../../src/cli/consumers.ts';
import { runForget } from '../../src/cli/device-forget.ts';
import { runRehydrate } from '../../src/cli/device-rehydrate.ts';
import { runDeviceShow } from '../../src/cli/device-show.ts';
import { runDlqList, runDlqShow } from '../../src/cli/dlq.ts';
import { runDlqExport } from '../../src/cli/dlq-export.ts';
import { runDlqPurge } from '../../src/cli/dlq-purge.ts';
import { runDlqReplay } from '../../src/cli/dlq-replay.ts';
import { runDlqStats } from '../../src/cli/dlq-stats.ts';
import { runDoctor } from '../../src/cli/doctor.ts';
import type { CliIo } from '../../src/cli/io.ts';
import { runMigrateUp } from '../../src/cli/migrate.ts';
import { runPause } from '../../src/cli/pause.ts';
import { runPendingList } from '../../src/cli/pending.ts';
import { runPendingClaim } from '../../src/cli/pending-claim.ts';
import { runResume } from '../../src/cli/resume.ts';
import { runStatus } from '../../src/cli/status.ts';
import { runVerify } from '../../src/cli/verify.ts';
import { dryRun, inProcess, noResend, yes } from './in-process.ts';
import { deadLetters, entryFields, imei, stream, useStack } from './stack.ts';

const stack = useStack();
/** What `run` found with the last commit before there were shards. */
const golden = new URL('../fixtures/unsharded.json', import.meta.url);

const at = 1_767_225_600_000;
const id = (second: number) => `${at + second * 1000}-0`;

/** Six entries: two settled without a row, three pending, one undelivered; three dead letters. */
async function fillRedis(): Promise<void> {
  const { redis } = stack;
  for (let index = 0; index < 6; index += 1) {
    const timestamp = new Date(at + index * 1000).toISOString();
    await redis.xadd(stream, id(index), ...entryFields(index, { timestamp }).with(3, timestamp));
  }
  await redis.xgroup('CREATE', stream, 'processor', '0');
  await redis.xreadgroup('GROUP', 'processor', 'gone', 'COUNT', 5, 'STREAMS', stream, '>');
  await redis.xack(stream, 'processor', id(0), id(1));
  await redis.hset(`${stream}:control:suspects`, id(3), '2');
  const facts = (entry: number) => [
    ...['entry_id', id(entry), 'stage', 'validate', 'reason', 'latitude_out_of_range'],
    ...['message', 'latitude 95', 'record_index', '', 'instance', 'one', 'deliveries', '1'],
    ...['at', '2026-01-01T00:00:00.000Z', 'f:device_id', imei(entry), 'f:codec', '8'],
  ];
  await redis.xadd(deadLetters, id(10), ...facts(6));
  await redis.xadd(deadLetters, id(11), ...facts(7));
  await redis.xadd(deadLetters, id(12), 'hello', 'world');
}

const json = { json: true };
const text = { json: false };
const all = { limit: 1000 };
const list = { minIdle: 0, limit: 2 };
const claim = { consumer: 'gone', minIdle: 0, force: true, timeout: 1 };
const replay = { fix: [], rate: 100, timeout: 1 };
const status = { watch: null, frames: null, metricsUrl: [], maxLag: 60 };
const verify = { from: at, to: at + 60_000, limit: 20, metricsUrl: [] };

/** Pending entries that do not move would make each status wait. */
async function acknowledge(): Promise<number> {
  return await stack.redis.xack(stream, 'processor', id(2), id(3), id(4));
}

const commands: readonly (readonly [name: string, run: (io: CliIo) => Promise<number>])[] = [
  ['migrate up', (io) => runMigrateUp(io, yes)],
  ['doctor', (io) => runDoctor(io, { ...json, strict: false })],
  ['pending list', (io) => runPendingList(io, { ...text, ...list })],
  ['pending list --json', (io) => runPendingList(io, { ...json, ...list })],
  ['pending claim --dry-run', (io) => runPendingClaim(io, { ...dryRun, ...claim })],
  ['pending claim, absent', (io) => runPendingClaim(io, { ...yes, ...claim, consumer: 'x' })],
  ['consumers list', (io) => runConsumersList(io, text)],
  ['consumers list --json', (io) => runConsumersList(io, json)],
  ['consumers remove, pending', (io) => runConsumersRemove(io, 'gone', yes)],
  ['consumers remove, absent', (io) => runConsumersRemove(io, 'x', yes)],
  ['dlq list', (io) => runDlqList(io, { ...text, ...all })],
  ['dlq list --json', (io) => runDlqList(io, { ...json, ...all })],
  ['dlq list, none', (io) => runDlqList(io, { ...text, ...all, device: imei(0) })],
  ['dlq show', (io) => runDlqShow(io, id(10), text)],
  ['dlq show --json', (io) => runDlqShow(io, id(11), json)],
  ['dlq show, malformed', (io) => runDlqShow(io, id(12), text)],
  ['dlq show, absent', (io) => runDlqShow(io, '1-1', text)],
  ['dlq stats', (io) => runDlqStats(io, { ...text, ...all })],
  ['dlq stats --json', (io) => runDlqStats(io, { ...json, ...all })],
  ['dlq export --to -', (io) => runDlqExport(io, { ...text, ...all, to: '-' })],
  ['dlq replay --dry-run', (io) => runDlqReplay(io, { ...dryRun, ...all, ...replay })],
  ['dlq replay, unconfirmed', (io) => runDlqReplay(io, { ...yes, ...replay, limit: 1 })],
  ['dlq purge, no filter', (io) => runDlqPurge(io, { ...yes, ...all, all: false })],
  [
    'dlq purge, no consent',
    (io) => runDlqPurge(io, { ...dryRun, dryRun: false, ...all, all: true }),
  ],
  ['dlq purge --dry-run', (io) => runDlqPurge(io, { ...dryRun, ...all, all: true })],
  ['dlq purge --id', (io) => runDlqPurge(io, { ...yes, ...all, all: false, id: id(12) })],
  ['verify', (io) => runVerify(io, { ...noResend, ...text, ...verify })],
  ['verify --json', (io) => runVerify(io, { ...noResend, ...json, ...verify })],
  ['device show', (io) => runDeviceShow(io, imei(6), { ...text, model: 'FMB' })],
  ['device show --json', (io) => runDeviceShow(io, imei(3), { ...json, model: 'FMB' })],
  ['device forget --dry-run', (io) => runForget(io, imei(6), dryRun)],
  ['device forget, unsettled', (io) => runForget(io, imei(3), yes)],
  ['device rehydrate', (io) => runRehydrate(io, imei(3), { ...yes, json: false })],
  ['acknowledge', acknowledge],
  ['status', (io) => runStatus(io, { ...text, ...status })],
  ['status --json', (io) => runStatus(io, { ...json, ...status })],
  ['pause --dry-run', (io) => runPause(io, { ...dryRun, reason: 'planned work' })],
  ['pause', (io) => runPause(io, { ...yes, reason: 'planned work' })],
  ['pause again', (io) => runPause(io, { ...yes, json: false, reason: 'planned work' })],
  ['status --watch', (io) => runStatus(io, { ...text, ...status, watch: 1, frames: 1 })],
  ['resume --dry-run', (io) => runResume(io, dryRun)],
  ['resume', (io) => runResume(io, { ...yes, json: false })],
  ['resume again', (io) => runResume(io, yes)],
];

/** Replaces what differs from run to run: times, ages, ports, versions and the width of columns. */
function steady(output: string): string {
  return output
    .replaceAll(/20(?!26-01-01)\d\d-\d\d-\d\dT[\d:.]+Z/g, '<time>')
    .replaceAll(/\b\d+(ms|s|m|h|d)( \d+[smh])?\b/g, '<age>')
    .replaceAll(/"(idle_ms|answer_ms|lag_seconds|pending_oldest_seconds)":[\d.]+/g, '"$1":0')
    .replaceAll(/applied [\w., ]+/g, 'applied <migrations>')
    .replaceAll(/lag_s=\d+/g, 'lag_s=0')
    .replaceAll(/\b\d{13,}-\d+\b/g, (found) => (found.startsWith('17672256') ? found : '<id>'))
    .replaceAll(/ {2,}/g, '  ');
}

/** Which migrations there are, and what the machine's server is, says nothing about the commands. */
const shortened: Readonly<Record<string, (output: string) => string>> = {
  'migrate up': () => '',
  doctor(output) {
    const { checks }: { checks: { name: string }[] } = JSON.parse(output);
    const ofKeys = ['stream', 'entry ids', 'control keys'];
    return JSON.stringify(checks.filter(({ name }) => ofKeys.includes(name)));
  },
};

/** The age at which a consumer counts as silent is above the duration of the test. */
const slow = { READ_BLOCK_MS: '10000' };

async function run(): Promise<Record<string, unknown>> {
  await fillRedis();
  const outputs: Record<string, unknown> = {};
  for (const [name, command] of commands) {
    const { code, stdout, stderr } = await inProcess({ ...stack.env(), ...slow }, command);
    const shown = shortened[name]?.(stdout) ?? stdout;
    outputs[name] = { code, stdout: steady(shown), stderr: steady(stderr) };
  }
  const audit = await stack.redis.xrange(`${stream}:control:audit`, '-', '+');
  return {
    ...outputs,
    audit: audit.map(([, fields]) => fields.map(steady)),
    keys: (await stack.redis.keys('*')).sort(),
  };
}

test('without shards every command prints and writes what it did before there were shards', async () => {
  const found = await run();
  expect(found).toEqual(JSON.parse(await readFile(golden, 'utf8')));
});
