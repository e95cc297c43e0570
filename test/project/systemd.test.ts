import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { variables } from '../../src/config/variables.ts';
import { findProgram } from '../../tools/servers/programs.ts';

const path = fileURLToPath(new URL('../../deploy/processor.service', import.meta.url));
const unit = readFileSync(path, 'utf8');

function setting(name: string): string {
  return new RegExp(`^${name}=(.*)$`, 'm').exec(unit)?.[1] ?? '';
}

describe('deploy/processor.service', () => {
  test('starts the built program itself, without npm or a shell between', () => {
    expect(setting('ExecStart')).toMatch(/^\/usr\/bin\/node .*dist\/processor\.js run$/);
    expect(setting('KillSignal')).toBe('SIGTERM');
  });

  test('waits longer for a stop than the service drains', () => {
    const budgetMs = Number(variables.drainBudgetMs.default);
    expect(Number(/^(\d+)s$/.exec(setting('TimeoutStopSec'))?.[1]) * 1000).toBeGreaterThan(
      budgetMs,
    );
  });

  test('restarts it after every failure, and never so fast that systemd gives up', () => {
    expect(setting('Restart')).toBe('on-failure');
    // 1 is also the exit code of a migration that waited too long for a table.
    expect(unit).not.toContain('RestartPreventExitStatus');
    // systemd's default: more than five starts in ten seconds are the last.
    expect(unit).not.toContain('StartLimit');
    expect(Number(/^(\d+)s$/.exec(setting('RestartSec'))?.[1])).toBeGreaterThanOrEqual(10 / 5);
  });

  test('keeps the dump of a panic', () => {
    expect(unit).toContain(`\nEnvironment=PANIC_DIR=/var/lib/${setting('StateDirectory')}\n`);
  });

  const analyze = findProgram('systemd-analyze');
  test.skipIf(analyze === null || !existsSync('/usr/bin/node'))(
    'is a unit that systemd accepts',
    { meta: { needs: 'needs systemd-analyze (Debian package systemd) and /usr/bin/node' } },
    () => {
      const { status, stderr } = spawnSync(analyze ?? '', ['verify', path], { encoding: 'utf8' });
      expect({
        status,
        stderr: stderr.split('\n').filter((line) => line.includes('processor')),
      }).toEqual({
        status: 0,
        stderr: [],
      });
    },
  );
});
