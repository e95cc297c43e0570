import { readResidual } from '../status/instance.ts';

/** The residual of an instance's account; null when the instance does not answer. */
export interface Residual {
  readonly url: string;
  readonly residual: number | null;
}

export function residualsOf(urls: readonly string[]): Promise<Residual[]> {
  return Promise.all(
    urls.map(async (url) => {
      // Any failure of fetch means that the instance does not answer.
      const residual = await readResidual(url).catch(() => null);
      return { url, residual };
    }),
  );
}
