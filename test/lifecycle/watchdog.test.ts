import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { createProgressWatch } from '../../src/lifecycle/progress-watch.ts';
import { createWatchdog } from '../../src/lifecycle/watchdog.ts';

const script = fileURLToPath(new URL('./fixtures/stalling.ts', import.meta.url));

function start(how: string) {
  const child = spawn(process.execPath, [script, how], { stdio: ['ignore', 'pipe', 'ignore'] });
  let stdout = '';
  const ready = Promise.withResolvers<void>();
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    stdout += text;
    if (stdout.includes('ready')) ready.resolve();
  });
  const ended = once(child, 'exit').then(() => ({ code: child.exitCode, stdout }));
  return { child, ready: ready.promise, ended };
}

describe('an event loop that is blocked', () => {
  test.each(['loop', 'native'])(
    'in %s code ends the process with 75 and a log line',
    async (how) => {
      const { code, stdout } = await start(how).ended;

      expect(code).toBe(75);
      expect(JSON.parse(stdout.split('\n')[1] ?? '')).toMatchObject({
        level: 'error',
        service: 'processor',
        instance: 'one',
        stall_limit_ms: 300,
        msg: 'event loop blocked; exiting so that the supervisor restarts the process',
      });
    },
  );

  test('is not a stall while the loop runs', async () => {
    expect(await start('turn').ended).toEqual({ code: 0, stdout: 'ready\ndone\n' });
  });

  test('is not a stall when the whole process was suspended', async () => {
    const { child, ready, ended } = start('turn');
    await ready;
    child.kill('SIGSTOP');
    await new Promise((resolve) => setTimeout(resolve, 1500));
    child.kill('SIGCONT');

    expect((await ended).code).toBe(0);
  });
});

describe('the watchdog', () => {
  test('does not keep a finished process alive, and may be stopped twice', async () => {
    expect((await start('stop').ended).code).toBe(0);
  });

  test('may be stopped without a start', async () => {
    await createWatchdog({ stallLimitMs: 1000, env: 'test', instance: 'one' }).stop();
  });
});

describe('a backlog', () => {
  function watch() {
    const clock = { nowMs: 0 };
    const watching = createProgressWatch({ stallLimitMs: 1000, now: () => clock.nowMs });
    const later = (ms: number, progress: number, backlog: number, excused = false) => {
      clock.nowMs += ms;
      return watching.observe({ progress, backlog, excused });
    };
    return later;
  }

  test('without progress for longer than the limit is a stall', () => {
    const later = watch();
    expect([later(0, 5, 10), later(1000, 5, 10), later(1, 5, 10)]).toEqual([
      'moving',
      'moving',
      'stalled',
    ]);
  });

  test('that moves, is empty or has a known reason is not a stall', () => {
    const later = watch();
    expect([
      later(0, 5, 10),
      later(900, 6, 10),
      later(900, 6, 0),
      later(900, 6, 10, true),
      later(900, 6, 10),
    ]).toEqual(['moving', 'moving', 'moving', 'moving', 'moving']);
  });
});
