import type { Codec, DeviceId, Reason } from '../core/types.ts';
import type { RowContent } from './record.ts';

/** What must become of one record, or of a whole entry that cannot be read. */
export type LedgerRecord =
  | {
      readonly kind: 'position';
      readonly deviceId: DeviceId;
      /** Epoch milliseconds. */
      readonly ts: number;
      readonly codec: Codec;
      /** The record's index in its packet, from 0. */
      readonly recordIndex: number;
      readonly content: RowContent;
    }
  | {
      readonly kind: 'dead_letter';
      /** null for the whole entry. */
      readonly recordIndex: number | null;
      /** Any of these is right. */
      readonly reasons: readonly Reason[];
    }
  | { readonly kind: 'message' };

export interface SimulatedEntry {
  /** name, value, name, value … as XADD takes them. */
  readonly fields: readonly (string | Buffer)[];
  /** Empty for a packet with 0 records. */
  readonly records: readonly LedgerRecord[];
}
