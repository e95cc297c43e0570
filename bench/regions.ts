import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

/** Where a source file begins in a file of the built program: the bundler's comment names it. */
interface Region {
  readonly line: number;
  readonly path: string;
}

/** Finds the source file of a function of the built program, relative to the checkout. */
export type FindSource = (url: string, line: number) => string;

/** @returns a function that reads each built file once; a URL that is no file is returned as it is */
export function createFindSource(): FindSource {
  const known = new Map<string, readonly Region[]>();
  return (url, line) => {
    if (!url.startsWith('file:')) return url;
    const regions = known.get(url) ?? readRegions(url);
    known.set(url, regions);
    return regions.findLast((region) => region.line <= line)?.path ?? url;
  };
}

function readRegions(url: string): Region[] {
  const lines = readFileSync(fileURLToPath(url), 'utf8').split('\n');
  return lines.flatMap((text, line) => {
    const path = /^\/\/ ((?:src|node_modules)\/\S+)$/.exec(text)?.[1];
    return path === undefined ? [] : [{ line, path }];
  });
}
