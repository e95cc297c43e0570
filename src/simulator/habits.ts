/**
 * How often real trackers do what makes a consumer's life hard. Shares are of records, packets or
 * devices, 0 to 1. The real ones follow captures of 3,206 packets where there are numbers: 10 % of
 * the records repeat in another composition, 23 % have no fix, 99 % of the packets are newest first.
 */
export interface Habits {
  /** Packets whose newest record stands first. */
  readonly newestFirst: number;
  /** Packets hold 1 to twice the usual number of records, instead of always the same. */
  readonly packetsVary: boolean;
  /** Packets after which a device is out of reach for hours; its records arrive late. */
  readonly outage: number;
  /** Records that are sent again, among others. */
  readonly repeat: number;
  /** Records without satellites. */
  readonly noFix: number;
  /** Records dated by a clock that was never set, or far ahead. */
  readonly wrongClock: number;
  /** Records under a time that the device used before, with other content. */
  readonly repeatedClock: number;
  /** Records with one field out of its range, among good ones. */
  readonly badRecord: number;
  /** Packets of a message codec instead. */
  readonly message: number;
  /** Packets that arrive damaged; the device sends their records again. */
  readonly corrupt: number;
  /** Packets in whose place come bytes that are not an AVL packet: keep-alives, logins, other protocols. */
  readonly foreign: number;
  /** Packets with 0 records. */
  readonly empty: number;
  /** Packets after which a codec 8 device goes over to 8 Extended. */
  readonly codecChange: number;
  /** Devices whose IO layout has a group of 16-byte values. */
  readonly io16: number;
  /** Devices that speak UDP. */
  readonly udp: number;
  /** Frames written as hex, as entries made by hand are. */
  readonly hexFrame: number;
}

export const realHabits: Habits = {
  newestFirst: 0.99,
  packetsVary: true,
  outage: 0.002,
  repeat: 0.1,
  noFix: 0.2,
  wrongClock: 0.001,
  repeatedClock: 0.001,
  badRecord: 0.001,
  message: 0.01,
  corrupt: 0.005,
  foreign: 0.001,
  empty: 0.002,
  codecChange: 0.0005,
  io16: 0.05,
  udp: 0.1,
  hexFrame: 0.02,
};

/** Only good records, each once and in order: for measuring. */
export const plainHabits: Habits = {
  newestFirst: 0,
  packetsVary: false,
  outage: 0,
  repeat: 0,
  noFix: 0,
  wrongClock: 0,
  repeatedClock: 0,
  badRecord: 0,
  message: 0,
  corrupt: 0,
  foreign: 0,
  empty: 0,
  codecChange: 0,
  io16: 0,
  udp: 0,
  hexFrame: 0,
};
