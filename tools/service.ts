import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { childEnvironment } from './child-environment.ts';
import { programFile } from './program.ts';

export interface LogLine {
  readonly level: string;
  readonly msg: string;
  readonly [field: string]: unknown;
}

/** The service as a real process, as `processor run` starts it. */
export interface RunningService {
  readonly process: ChildProcess;
  readonly logs: readonly LogLine[];
  readonly stderr: () => string;
  /** Base URL of the probes, once they are served. */
  url(): Promise<string>;
  health(probe: 'live' | 'ready' | 'startup'): Promise<number>;
  /** Value of a metric's series, by its full text before the value; 0 when absent. */
  metric(series: string): Promise<number>;
  /** One scrape: the value of a series by its full text, 0 when absent. */
  metrics(): Promise<(series: string) => number>;
  untilReady(): Promise<void>;
  /** Sends the signal and waits for the end: the exit code, or null after SIGKILL. */
  end(signal: NodeJS.Signals): Promise<number | null>;
}

/** The service closes an idle connection; a request just then on the same one would fail. */
const ownConnection = { headers: { connection: 'close' } };

/** @param program that of `programFile` by default; a test of an upgrade names another */
export function startService(
  env: Readonly<Record<string, string>>,
  program = programFile(),
): RunningService {
  const child = spawn(process.execPath, [program, 'run'], {
    env: { ...childEnvironment(), HTTP_PORT: '0', TIMESCALEDB: 'optional', ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const ended = once(child, 'exit');
  const logs: LogLine[] = [];
  let stderr = '';
  let rest = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    const lines = (rest + text).split('\n');
    rest = lines.pop() ?? '';
    for (const line of lines) logs.push(JSON.parse(line));
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr += text;
  });

  async function url(): Promise<string> {
    const line = await eventually('the probes are served', () =>
      logs.find(({ msg }) => msg === 'probes and metrics are served'),
    );
    return `http://127.0.0.1:${line.port}`;
  }

  async function health(probe: string): Promise<number> {
    return (await fetch(`${await url()}/health/${probe}`, ownConnection)).status;
  }

  async function scrape(): Promise<(series: string) => number> {
    const response = await fetch(`${await url()}/metrics`, ownConnection);
    const lines = (await response.text()).split('\n');
    return (series) => {
      const line = lines.find((candidate) => candidate.startsWith(`${series} `));
      return line === undefined ? 0 : Number(line.slice(series.length + 1));
    };
  }

  return {
    process: child,
    logs,
    stderr: () => stderr,
    url,
    health,
    async metric(series) {
      return (await scrape())(series);
    },
    metrics: scrape,
    async untilReady() {
      await eventually('the service is ready', async () =>
        (await health('ready')) === 200 ? true : undefined,
      );
    },
    async end(signal) {
      if (child.exitCode === null && child.signalCode === null) child.kill(signal);
      await ended;
      return child.exitCode;
    },
  };
}

/** Polls until `ask` returns a value. The deadline is generous: no test depends on its length. */
export async function eventually<Answer>(
  what: string,
  ask: () => Promise<Answer | undefined> | Answer | undefined,
  deadlineMs = 120_000,
): Promise<Answer> {
  const giveUpAt = Date.now() + deadlineMs;
  for (;;) {
    const answer = await ask();
    if (answer !== undefined) return answer;
    if (Date.now() > giveUpAt) throw new Error(`${what}: not within ${deadlineMs} ms`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}
