import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';

const root = fileURLToPath(new URL('../../', import.meta.url));
const listed = execFileSync('git', ['ls-files', '-co', '--exclude-standard', '*.md'], {
  cwd: root,
  encoding: 'utf8',
});
const pages = listed.split('\n').filter((path) => path !== '' && existsSync(join(root, path)));

/** A page without its code blocks, which hold no links. */
function proseOf(path: string): string {
  return readFileSync(join(root, path), 'utf8').replace(/^ *```.*?^ *```/gms, '');
}

/** The anchors of a page's headings, as Gitea and GitHub make them. */
function anchorsOf(path: string): string[] {
  return [...proseOf(path).matchAll(/^#+ (.+)$/gm)].map(([, heading = '']) =>
    heading
      .toLowerCase()
      .replace(/[^\p{L}\p{N}\s_-]/gu, '')
      .replaceAll(' ', '-'),
  );
}

describe('the links of all pages', () => {
  test.each(pages)('%s links to files and headings that exist', (path) => {
    const broken = [...proseOf(path).matchAll(/\]\(([^()\s]+)\)/g)].filter(([, target = '']) => {
      if (/^[a-z]+:/.test(target)) return false;
      const [file = '', anchor] = target.split('#');
      const found = file === '' ? path : join(dirname(path), file);
      if (!existsSync(join(root, found))) return true;
      return anchor !== undefined && !anchorsOf(found).includes(anchor);
    });
    expect(broken.map(([link]) => link)).toEqual([]);
  });
});
