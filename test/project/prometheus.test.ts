import { type ChildProcess, spawn } from 'node:child_process';
import { cp, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Redis } from 'ioredis';
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { z } from 'zod';
import { createSwitches } from '../../src/stream/control.ts';
import { controlKeys } from '../../src/stream/control-keys.ts';
import { createDirectus } from '../../tools/domain-fixture.ts';
import { freePort } from '../../tools/servers/ports.ts';
import { findProgram } from '../../tools/servers/programs.ts';
import { eventually, type RunningService, startService } from '../../tools/service.ts';
import { domainOn } from '../cli/domain-stack.ts';
import { type FreshDatabase, freshDatabase, freshStream, redisUrl } from '../setup/database.ts';
import { readQueries, readRules, selectorsIn } from './monitored.ts';

/** What is looked at of the answers to `query` and `rules`. */
const answerSchema = z.object({
  data: z.object({
    result: z
      .array(z.object({ metric: z.record(z.string(), z.string()), value: z.array(z.unknown()) }))
      .optional(),
    groups: z
      .array(z.object({ rules: z.array(z.looseObject({ name: z.string(), health: z.string() })) }))
      .optional(),
  }),
});

const program = findProgram('prometheus');
const needs = 'needs prometheus (Debian package prometheus)';
const folder = fileURLToPath(new URL('../../deploy/prometheus/', import.meta.url));

describe.skipIf(program === null)('a real Prometheus', { meta: { needs } }, () => {
  const stream = freshStreamOnce();
  let dir: string;
  let database: FreshDatabase;
  let redis: Redis;
  let service: RunningService;
  /** Its metrics of shards are absent from the other one. */
  let sharded: RunningService;
  let prometheus: ChildProcess;
  let port: number;

  beforeAll(async () => {
    dir = await mkdtemp(join(tmpdir(), 'processor-prometheus-'));
    database = await freshDatabase();
    redis = new Redis(redisUrl());
    await createFleet(database.url);
    const { key, group } = stream();
    service = startService({
      REDIS_URL: redisUrl(),
      POSTGRES_URL: database.url,
      CONSUMER_NAME: 'one',
      REDIS_TELEMETRY_STREAM: key,
      REDIS_CONSUMER_GROUP: group,
      ...domainOn,
    });
    await service.untilReady();
    sharded = startService({
      REDIS_URL: redisUrl(),
      POSTGRES_URL: database.url,
      CONSUMER_NAME: 'two',
      REDIS_TELEMETRY_STREAM: freshStream().key,
      STREAM_SHARDS: '2',
    });
    await sharded.untilReady();
    port = await freePort();
    const urls = await Promise.all([service, sharded].map((one) => one.url()));
    const targets = urls.map((url) => new URL(url).host);
    prometheus = await startPrometheus(dir, targets, port);
  });
  afterAll(async () => {
    prometheus?.kill('SIGKILL');
    await service?.end('SIGKILL');
    await sharded?.end('SIGKILL');
    redis?.disconnect();
    await database?.drop();
    await rm(dir, { recursive: true, force: true });
  });

  async function ask(path: string) {
    try {
      const answer = await fetch(`http://127.0.0.1:${port}/api/v1/${path}`);
      return answer.ok ? answerSchema.parse(await answer.json()).data : undefined;
    } catch (error) {
      // Not listening yet.
      if (error instanceof TypeError) return undefined;
      throw error;
    }
  }

  test('scrapes the service, and its rules evaluate without an error', async () => {
    await eventually('both targets are up', async () => {
      const found = await ask('query?query=up{job="processor"}');
      const isUp = found?.result?.map(({ value }) => value[1] === '1') ?? [];
      return isUp.length === 2 && isUp.every(Boolean) ? true : undefined;
    });
    const groups = await eventually('every rule was evaluated', async () => {
      const found = (await ask('rules'))?.groups;
      const rules = found?.flatMap((group) => group.rules) ?? [];
      const isDone = rules.length > 0 && rules.every(({ health }) => health !== 'unknown');
      return isDone ? found : undefined;
    });
    for (const { rules } of groups) {
      for (const rule of rules) expect(rule, rule.name).toMatchObject({ health: 'ok' });
    }
  });

  test('finds a series for each metric with its labels, in the rules and in the panels', async () => {
    // What is absent until something was read: an entry that ends as a dead letter.
    await redis.xadd(stream().key, '*', 'nonsense', 'x');
    const { rules } = await readRules();
    const expressions = [...rules.map(({ expr }) => expr), ...(await readQueries())];
    const selectors = new Set(expressions.flatMap(selectorsIn));
    expect(selectors.size).toBeGreaterThan(60);
    const isFound = async (selector: string) => {
      const found = await ask(`query?query=${encodeURIComponent(`count(${selector})`)}`);
      return found?.result?.length === 1;
    };
    let missing = [...selectors];
    const deadline = Date.now() + 120_000;
    while (missing.length > 0 && Date.now() < deadline) {
      const found = await Promise.all(missing.map(isFound));
      missing = missing.filter((_, place) => found[place] !== true);
      await new Promise((resolve) => setTimeout(resolve, 250));
    }
    expect(missing).toEqual([]);
  });

  test('accepts every query of the dashboards', async () => {
    const queries = await readQueries();
    const answers = await Promise.all(
      queries.map(async (query) => [
        query,
        (await ask(`query?query=${encodeURIComponent(query)}`)) !== undefined,
      ]),
    );
    expect(answers.filter(([, isAccepted]) => isAccepted !== true)).toEqual([]);
  });

  test('fires when an operator pauses consumption, and is silent again after resume', async () => {
    const switches = createSwitches(() => Promise.resolve(redis), controlKeys(stream().key));
    const state = async () => {
      const found = await ask('query?query=ALERTS{alertname="ProcessorKillSwitchOn"}');
      return found?.result?.[0]?.metric?.alertstate;
    };
    expect(await state()).toBeUndefined();
    await switches.pause({ by: 'test', reason: 'test', at: 'now' });
    await eventually('the alert fires', async () =>
      (await state()) === 'firing' ? true : undefined,
    );
    await switches.resume('test');
    await eventually('the alert is silent', async () =>
      (await state()) === undefined ? true : undefined,
    );
  });
});

/** The Directus side of the domain, without which its metrics are absent. */
async function createFleet(url: string): Promise<void> {
  const client = new pg.Client(url);
  await client.connect();
  await createDirectus(client, 'fleet');
  await client.end();
}

/** Made in the first use: names of streams are given out while tests run. */
function freshStreamOnce() {
  let made: { key: string; group: string } | null = null;
  return () => {
    made ??= freshStream();
    return made;
  };
}

/** With the rules as they are deployed, but evaluated every second and without waiting. */
async function startPrometheus(
  dir: string,
  targets: readonly string[],
  port: number,
): Promise<ChildProcess> {
  await cp(join(folder, 'rules'), join(dir, 'rules'), { recursive: true });
  const file = join(dir, 'rules', 'processor.yml');
  const rules = await readFile(file, 'utf8');
  await writeFile(file, rules.replaceAll(/^( +)for: \S+$/gm, '$1for: 1s'));
  await writeFile(
    join(dir, 'prometheus.yml'),
    [
      'global: { scrape_interval: 1s, evaluation_interval: 1s }',
      `rule_files: ['${join(dir, 'rules')}/*.yml']`,
      'scrape_configs:',
      '  - job_name: processor',
      `    static_configs: [{ targets: ${JSON.stringify(targets)} }]`,
    ].join('\n'),
  );
  await mkdir(join(dir, 'data'));
  return spawn(
    program ?? 'prometheus',
    [
      `--config.file=${join(dir, 'prometheus.yml')}`,
      `--storage.tsdb.path=${join(dir, 'data')}`,
      `--web.listen-address=127.0.0.1:${port}`,
    ],
    { stdio: 'ignore' },
  );
}
