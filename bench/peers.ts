import { createRequire } from 'node:module';
import { join } from 'node:path';
import pg from 'pg';
import type { Load } from './rows.ts';
import { insertOne, toValues } from './workers.ts';

/** What is used of BullMQ, which is not a dependency: it is installed in a folder outside. */
interface BullMq {
  readonly Queue: new (name: string, options: object) => BullQueue;
  readonly Worker: new (
    name: string,
    work: (job: { readonly data: readonly string[] }) => Promise<void>,
    options: object,
  ) => BullWorker;
}
interface BullQueue {
  addBulk(jobs: readonly object[]): Promise<unknown>;
  close(): Promise<void>;
}
interface BullWorker {
  on(event: 'completed', listener: () => void): void;
  run(): Promise<void>;
  close(): Promise<void>;
}

const queueName = 'bench';
const jobsAtOnce = 1000;
/** Jobs that the worker runs at the same time, and its connections to PostgreSQL. */
const concurrency = 100;
const connections = 10;

/**
 * One job a record with BullMQ, each an INSERT: records a second. Null without BENCH_BULLMQ, the folder
 * in which `npm install bullmq ioredis@5` was run. The jobs are added before, and are not counted.
 */
export async function bullMqWorker(redisUrl: string, url: string, load: Load, count: number) {
  const folder = process.env.BENCH_BULLMQ;
  if (folder === undefined) return null;
  const { Queue, Worker }: BullMq = createRequire(join(folder, 'package.json'))('bullmq');
  const { hostname: host, port } = new URL(redisUrl);
  const connection = { host, port: Number(port), maxRetriesPerRequest: null };
  const queue = new Queue(queueName, { connection });
  const jobs = load.entries.slice(0, count).map((fields) => ({
    name: 'record',
    data: fields.map(String),
    opts: { removeOnComplete: true },
  }));
  for (let at = 0; at < jobs.length; at += jobsAtOnce) {
    await queue.addBulk(jobs.slice(at, at + jobsAtOnce));
  }
  const pool = new pg.Pool({ connectionString: url, max: connections });
  // A connection may still be closing when the next case drops the database.
  pool.on('error', () => {});
  const worker = new Worker(
    queueName,
    async ({ data }) => {
      await pool.query(insertOne, toValues(data));
    },
    { connection, concurrency, autorun: false },
  );
  const done = Promise.withResolvers<void>();
  let completed = 0;
  worker.on('completed', () => {
    completed += 1;
    if (completed === count) done.resolve();
  });
  const since = performance.now();
  const running = worker.run();
  await done.promise;
  const seconds = (performance.now() - since) / 1000;
  await worker.close();
  await running;
  await queue.close();
  await pool.end();
  return count / seconds;
}
