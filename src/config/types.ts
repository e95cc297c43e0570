import type { z } from 'zod';
import type { Field } from './fields.ts';
import type { variables } from './variables.ts';

export type Environment = Readonly<Record<string, string | undefined>>;

export interface ConfigProblem {
  readonly variable: string;
  /** The value found; never that of a secret. */
  readonly got: string;
  readonly expected: string;
  readonly example: string;
}

/** Records a problem of one variable. */
export type Report = (field: Pick<Field, 'name' | 'shape' | 'example'>, got: string) => void;

/** What the configuration needs of the machine. */
export interface ConfigHost {
  readonly hostname: string;
  /** @throws when the file cannot be read */
  readFile(path: string): string;
}

/** Every variable's value; null where it is unset without a default, or wrong and reported. */
export type Values = {
  readonly [Key in keyof typeof variables]: z.output<(typeof variables)[Key]['schema']> | null;
};

/** TLS settings of one server, as node:tls takes them. TLS without verification does not exist. */
export interface TlsSettings {
  /** Explicit, so that NODE_TLS_REJECT_UNAUTHORIZED cannot override it. */
  readonly rejectUnauthorized: true;
  readonly minVersion: 'TLSv1.2';
  /** PEM; absent: the authorities that Node.js ships. */
  readonly ca?: string;
  /** PEM; the service's own certificate, for a server that requests one. */
  readonly cert?: string;
  readonly key?: string;
}
