import type { IoElement } from '../teltonika/io.ts';
import {
  familyOf,
  type IoFamily,
  type IoReading,
  readIo,
  readIoElement,
} from '../teltonika/io-names.ts';

type NamedIo = Omit<IoReading, 'note'> & { readonly id: number; readonly note?: string };

/** What `decode --names` adds to an answer: which model family's dictionary was used. */
export interface Names {
  /** Null when the model is not known: the values are raw then, and each says so. */
  readonly family: IoFamily | null;
  /** Elements from the wire, with their names and typed values. */
  elements(elements: readonly IoElement[]): (IoElement & NamedIo)[];
  /** A payload's attributes: each width that an id is known in has to give the same value. */
  attributes(attributes: unknown): NamedIo[];
}

/** @param model a model such as `FMC130`, or a family such as `FMB`; null for one in no family */
export function namesOf(model: string | null): Names {
  const family = model === null ? null : familyOf(model);
  return {
    family,
    elements: (elements) =>
      elements.map((element) => ({
        ...element,
        ...named(element.id, readIoElement(element, family)),
      })),
    attributes: (attributes) =>
      Object.entries(attributes ?? {}).flatMap(([key, value]) => {
        if (typeof value !== 'number' && typeof value !== 'string') return [];
        const id = Number(key);
        return [named(id, readIo(id, value, null, family))];
      }),
  };
}

function named(id: number, { note, ...reading }: IoReading): NamedIo {
  return { id, ...reading, ...(note === null ? {} : { note }) };
}
