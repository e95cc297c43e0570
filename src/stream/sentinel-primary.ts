import { DependencyError } from '../core/types.ts';
import { type AskOptions, askServer } from './ask-server.ts';
import { type Place, placeText, type SentinelTopology } from './topology.ts';

export interface FinderOptions extends Pick<AskOptions, 'tls'> {
  readonly connectTimeoutMs: number;
  /** Replaces an address that a server announces by the one to use. */
  readonly translate: (place: Place) => Place;
}

/** Time for the other sentinels to answer after the first one. */
const graceMs = 200;
/** Upper limit of the time for a sentinel to answer. */
const maxAskMs = 2000;

/** What one sentinel said. */
interface Answer {
  readonly sentinel: Place;
  /** Null: it knows no primary of this name, or failed. */
  readonly primary: Place | null;
  readonly failure: DependencyError | null;
}

/**
 * `find` asks all sentinels at the same time, once, and follows the majority of those that answer: one
 * that hangs costs at most `graceMs`, and one that was cut off and knows only the old primary is
 * outvoted. While none answers, the primary stays the one that was found last: a connection that was
 * lost meanwhile comes back, and a server that is no primary any more is refused as before.
 * `agreed` is the primary that more than half of all sentinels name, null if there is none.
 */
export function createSentinelFinder(
  topology: SentinelTopology,
  { tls, connectTimeoutMs, translate }: FinderOptions,
): { readonly find: () => Promise<Place>; readonly agreed: () => Promise<Place | null> } {
  const { sentinels, name, sentinelLogin: login } = topology;
  const options = { login, tls, timeoutMs: Math.min(maxAskMs, connectTimeoutMs) };
  const words = ['SENTINEL', 'GET-MASTER-ADDR-BY-NAME', name] as const;

  async function ask(sentinel: Place): Promise<Answer> {
    try {
      const primary = parseAddress(await askServer(sentinel, words, options));
      return { sentinel, primary, failure: null };
    } catch (error) {
      if (!(error instanceof DependencyError)) throw error;
      return { sentinel, primary: null, failure: error };
    }
  }

  let last: Place | null = null;
  return {
    async find() {
      const answers = await enoughAnswers(sentinels.map(ask));
      const found = mostNamed(answers)?.primary ?? null;
      if (found !== null) last = translate(found);
      else if (last === null || !isSilence(answers)) throw notFound(name, answers);
      return last;
    },
    async agreed() {
      const found = mostNamed(await enoughAnswers(sentinels.map(ask)));
      if (found === null || found.votes <= sentinels.length / 2) return null;
      return translate(found.primary);
    },
  };
}

/** Whether no sentinel answered: none refused, and none said that it knows no such primary. */
function isSilence(answers: readonly Answer[]): boolean {
  return answers.every(({ failure }) => failure?.kind === 'unavailable');
}

/** Reads the reply to GET-MASTER-ADDR-BY-NAME; null if the sentinel knows no such primary. */
export function parseAddress(reply: unknown): Place | null {
  const [host, port] = Array.isArray(reply) ? reply.map(String) : [];
  return host === undefined || port === undefined ? null : { host, port: Number(port) };
}

/** Waits until more than half agree, all have answered, or `graceMs` after the first address. */
function enoughAnswers(asked: readonly Promise<Answer>[]): Promise<readonly Answer[]> {
  return new Promise((resolve, reject) => {
    const answers: Answer[] = [];
    let timer: NodeJS.Timeout | undefined;
    function end(): void {
      clearTimeout(timer);
      resolve(answers);
    }
    function add(answer: Answer): void {
      answers.push(answer);
      const votes = mostNamed(answers)?.votes ?? 0;
      if (answers.length === asked.length || votes > asked.length / 2) end();
      else if (votes > 0) timer ??= setTimeout(end, graceMs);
    }
    for (const one of asked) one.then(add, reject);
  });
}

/** The address that most sentinels named; the earliest of equals. */
function mostNamed(
  answers: readonly Answer[],
): { readonly primary: Place; readonly votes: number } | null {
  const named = new Map<string, { primary: Place; votes: number }>();
  for (const { primary } of answers) {
    if (primary === null) continue;
    const key = placeText(primary);
    const votes = (named.get(key)?.votes ?? 0) + 1;
    named.set(key, { primary, votes });
  }
  const [first = null, ...others] = named.values();
  return others.reduce((best, one) => (best && one.votes <= best.votes ? best : one), first);
}

/** A sentinel that refuses needs a person, whatever the others that are down would say. */
function notFound(name: string, answers: readonly Answer[]): DependencyError {
  const failures = answers.flatMap(({ failure }) => failure ?? []);
  const refusal = failures.find(({ kind }) => kind === 'configuration');
  if (refusal !== undefined) return refused(refusal);
  if (failures.length < answers.length) {
    const message = `redis: the sentinels know no primary named ${name}: check the name in REDIS_URL`;
    return new DependencyError('redis', 'configuration', 'SENTINEL_NAME', message);
  }
  const reasons = answers.map(
    ({ sentinel, failure }) => `${placeText(sentinel)}: ${failure?.code ?? 'no primary'}`,
  );
  const message = `redis: no sentinel answers (${reasons.join(', ')})`;
  const [cause] = failures;
  return new DependencyError('redis', 'unavailable', 'NO_SENTINEL', message, { cause });
}

const advices: Readonly<Record<string, string>> = {
  NOAUTH: 'the sentinels ask for a password: set REDIS_SENTINEL_PASSWORD',
  WRONGPASS:
    'the sentinels refuse the login: check REDIS_SENTINEL_USER and REDIS_SENTINEL_PASSWORD',
  NOPERM:
    'the ACL of the sentinels must allow +sentinel|get-master-addr-by-name for the user of REDIS_SENTINEL_USER',
  ERR: 'a server in REDIS_URL is no sentinel: name the sentinels, or use redis:// for a single Redis',
};

function refused(failure: DependencyError): DependencyError {
  const advice = advices[failure.code];
  if (advice === undefined) return failure;
  const { cause } = failure;
  const message = `redis: ${advice}`;
  return new DependencyError('redis', 'configuration', failure.code, message, { cause });
}
