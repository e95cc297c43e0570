/** `npm run demo`: the whole pipeline on this machine, with a check of every record at the end. */
import { demoUsage, readDemoOptions } from './options.ts';
import { runDemo } from './run.ts';

const interrupted = new AbortController();
// Also a second Ctrl-C: what runs by then is the clean-up, which is bounded.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  process.on(signal, () => interrupted.abort());
}
// The reader has left (`npm run demo | head`): as good as Ctrl-C.
process.stdout.on('error', () => interrupted.abort());

async function main(args: readonly string[]): Promise<number> {
  let options: ReturnType<typeof readDemoOptions>;
  try {
    options = readDemoOptions(args);
  } catch (error) {
    process.stderr.write(`${error instanceof Error ? error.message : error}\n${demoUsage}\n`);
    return 2;
  }
  if (options === 'help') {
    process.stdout.write(`${demoUsage}\n`);
    return 0;
  }
  const { env, stdout, stderr } = process;
  const terminal = stdout.isTTY ? { columns: () => stdout.columns || 80 } : null;
  return await runDemo(options, { env, stdout, stderr, terminal, signal: interrupted.signal });
}

process.exitCode = await main(process.argv.slice(2));
