import { execFileSync, spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { readBoundedFile } from '../../src/config/bounded-file.ts';
import { type ConfigProblem, formatProblems, loadConfig } from '../../src/config/load.ts';

const marker = 'hunter2';
const folder = mkdtempSync(join(tmpdir(), 'processor-secrets-'));
afterAll(() => rmSync(folder, { recursive: true }));

function problemsOf(env: Readonly<Record<string, string>>): readonly ConfigProblem[] {
  const result = loadConfig(
    { POSTGRES_URL: 'postgres://db.example/telemetry', ...env },
    { hostname: 'worker-7', readFile: readBoundedFile },
  );
  return result.ok ? [] : result.problems;
}

function file(content: string | Buffer): string {
  const path = join(folder, `secret-${Math.random()}`);
  writeFileSync(path, content);
  return path;
}

const secrets = ['REDIS_PASSWORD', 'POSTGRES_PASSWORD', 'REDIS_URL', 'POSTGRES_URL'] as const;

describe('a secret with invisible characters', () => {
  const texts = [
    ['a carriage return', `${marker}\r`, /control character.*U\+000D/],
    ['a second line break', `${marker}\n\n`, /control character.*U\+000A/],
    ['a second line', `${marker}\nrest\n`, /control character.*U\+000A/],
    ['a NUL', `${marker}\0`, /control character.*U\+0000/],
    ['a delete', `${marker}\u007f`, /control character.*U\+007F/],
    ['a C1 control', `${marker}\u0085x`, /control character.*U\+0085/],
    ['a byte order mark', `\ufeff${marker}`, /byte order mark/],
    ['a byte order mark and a Windows line end', `\ufeff${marker}\r\n`, /byte order mark/],
    ['a character that was not UTF-8', `${marker}\ufffd`, /not UTF-8/],
  ] as const;

  test.each(secrets)('%s with one is refused by name, from a file', (name) => {
    for (const [what, text, found] of texts) {
      const env = name === 'POSTGRES_URL' ? { POSTGRES_URL: '' } : {};
      const problems = problemsOf({ ...env, [`${name}_FILE`]: file(text) });

      expect(
        problems.map(({ variable }) => variable),
        what,
      ).toEqual([name]);
      expect(problems[0]?.got, what).toMatch(found);
      expect(problems[0]?.got, what).toContain(`${name}_FILE=`);
      expect(formatProblems(problems)).not.toContain(marker);
    }
  });

  test.each(secrets)('%s with one is refused by name, from the environment', (name) => {
    for (const [what, text, found] of texts.filter(([, text]) => !text.includes('\0'))) {
      const problems = problemsOf({ [name]: text });

      expect(
        problems.map(({ variable }) => variable),
        what,
      ).toEqual([name]);
      expect(problems[0]?.got, what).toMatch(found);
      expect(formatProblems(problems)).not.toContain(marker);
    }
  });

  test('a file in UTF-16, as some Windows programs write it, is refused', () => {
    const path = file(Buffer.from(`\ufeff${marker}\r\n`, 'utf16le'));

    expect(problemsOf({ REDIS_PASSWORD_FILE: path })[0]?.got).toMatch(/control|not UTF-8/);
  });

  test('one line break at the end of a file is not a part of the secret', () => {
    expect(problemsOf({ REDIS_PASSWORD_FILE: file(`${marker}\n`) })).toEqual([]);
    expect(problemsOf({ REDIS_PASSWORD_FILE: file(`${marker}\r\n`) })).toEqual([]);
    expect(problemsOf({ REDIS_PASSWORD: 'pässwörd with € and \u{1f600}' })).toEqual([]);
  });
});

describe('a file of the configuration', () => {
  test('without an end is read no further than its limit', () => {
    expect(problemsOf({ REDIS_PASSWORD_FILE: '/dev/zero' })[0]?.got).toContain(
      'REDIS_PASSWORD_FILE=/dev/zero, which cannot be read (NOT_A_FILE)',
    );
    expect(problemsOf({ REDIS_PASSWORD_FILE: file('x'.repeat(20_000_000)) })[0]?.got).toContain(
      'cannot be read (FILE_TOO_LARGE)',
    );
  });

  test('may not be a folder, a terminal or a socket', () => {
    for (const path of ['/dev/random', '/dev/null', '/proc']) {
      expect(problemsOf({ REDIS_PASSWORD_FILE: path })[0]?.got).toContain('(NOT_A_FILE)');
    }
  });

  test('is bounded for certificates as well', () => {
    const problems = problemsOf({ REDIS_URL: 'rediss://host', REDIS_CA_FILE: '/dev/zero' });

    expect(problems[0]).toMatchObject({ variable: 'REDIS_CA_FILE' });
    expect(problems[0]?.got).toContain('NOT_A_FILE');
  });

  test('that is a named pipe without a writer is waited for only for a limited time', () => {
    const path = join(folder, 'pipe');
    execFileSync('mkfifo', [path]);

    expect(problemsOf({ REDIS_PASSWORD_FILE: path })[0]?.got).toContain(path);
  });

  test('that is a pipe with a silent writer is waited for only for a limited time', () => {
    const path = join(folder, 'silent-pipe');
    execFileSync('mkfifo', [path]);
    const writer = spawn('sh', ['-c', `exec 3<>'${path}'; exec sleep 60`]);

    // The writer has opened the pipe once a read that does not block finds no end.
    for (;;) {
      const [problem] = problemsOf({ REDIS_PASSWORD_FILE: path });
      if (problem?.got.includes('PIPE_SILENT') === true) break;
      expect(problem?.got).toContain('is empty');
    }
    writer.kill('SIGKILL');
  });

  test('may be a pipe, such as that of a shell’s <(command)', () => {
    const script = `exec "$0" --input-type=module -e "
      import { readBoundedFile } from '${new URL('../../src/config/bounded-file.ts', import.meta.url).pathname}';
      process.stdout.write(readBoundedFile('/dev/fd/3'))" 3< <(sleep 0.3; printf '${marker}')`;

    expect(execFileSync('bash', ['-c', script, process.execPath], { encoding: 'utf8' })).toBe(
      marker,
    );
  });
});
