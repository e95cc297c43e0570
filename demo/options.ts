import { randomInt } from 'node:crypto';
import { parseArgs } from 'node:util';

export interface DemoOptions {
  /** How long the fleet sends at `rate`. */
  readonly seconds: number;
  /** Records a second. */
  readonly rate: number;
  /** Records sent flat out at the end. */
  readonly burst: number;
  readonly devices: number;
  readonly seed: number;
}

export const demoUsage = `usage: npm run demo -- [options]
  --seconds <n>   how long the fleet sends (15)
  --rate <n>      records a second (4000)
  --burst <n>     records sent flat out at the end (20000)
  --devices <n>   devices in the fleet (100)
  --seed <n>      the fleet's seed (random; it is printed)
REDIS_URL and POSTGRES_URL of running servers replace the demo's own.`;

const bounds = {
  seconds: { fallback: 15, least: 1, most: 3_600 },
  rate: { fallback: 4_000, least: 1, most: 100_000 },
  burst: { fallback: 20_000, least: 0, most: 1_000_000 },
  devices: { fallback: 100, least: 1, most: 10_000 },
  seed: { fallback: 0, least: 0, most: Number.MAX_SAFE_INTEGER },
} as const;

/** Most records of one run: its ledger is kept in memory. */
const MOST_RECORDS = 5_000_000;

/** @throws Error with a message for a person when an option is unknown or out of its range */
export function readDemoOptions(args: readonly string[]): DemoOptions | 'help' {
  const { values } = parseArgs({
    args: [...args],
    options: {
      help: { type: 'boolean', short: 'h' },
      seconds: { type: 'string' },
      rate: { type: 'string' },
      burst: { type: 'string' },
      devices: { type: 'string' },
      seed: { type: 'string' },
    },
  });
  if (values.help) return 'help';
  const read = (name: keyof typeof bounds): number => {
    const { fallback, least, most } = bounds[name];
    const text = values[name];
    if (text === undefined) return fallback;
    const value = Number(text);
    if (/^\d+$/.test(text) && value >= least && value <= most) return value;
    throw new RangeError(`--${name}: a whole number from ${least} to ${most}, not ${text}`);
  };
  const options = {
    seconds: read('seconds'),
    rate: read('rate'),
    burst: read('burst'),
    devices: read('devices'),
    seed: values.seed === undefined ? randomInt(1, 2 ** 32) : read('seed'),
  };
  if (options.seconds * options.rate + options.burst > MOST_RECORDS) {
    throw new RangeError(`at most ${MOST_RECORDS} records in one run; lower --seconds or --rate`);
  }
  return options;
}
