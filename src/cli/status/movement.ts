import { isTrimReached } from '../../stream/group-progress.ts';
import { countText, durationText, plural } from '../format.ts';
import { type Moment, momentOf, type Sample, type StreamSample } from './sample.ts';

/** Time without movement that counts as a stall: longer than a slow batch takes. */
export const stallMs = 5000;

/** Two samples of the stream, and the time between them. */
interface Span {
  readonly before: StreamSample;
  readonly now: StreamSample;
  readonly ms: number;
}

/** Whether something that should move between two samples does not, in any shard. */
export function isStalled(before: Sample, now: Sample): boolean {
  return now.streams.some(({ shard }) => {
    const [a, b] = [momentOf(before, shard), momentOf(now, shard)];
    return a !== null && b !== null && stallsBetween(a, b).length > 0;
  });
}

/** Findings on what should move between two samples of a stream and does not. */
export function stallsBetween(before: Moment, now: Moment): string[] {
  if (before.stream.kind !== 'seen' || now.stream.kind !== 'seen') return [];
  const span = { before: before.stream.value, now: now.stream.value, ms: now.atMs - before.atMs };
  return [...unreadStalls(span), ...pendingStalls(span)];
}

/** New entries arrive, and none is delivered or settled. */
function unreadStalls({ before, now, ms }: Span): string[] {
  if (now.pause !== null || now.backlog.lag === 0) return [];
  const added = difference(before.progress.added, now.progress.added);
  const delivered = before.progress.deliveredId !== now.progress.deliveredId;
  if (added === null || added <= 0 || delivered || isSettling(before, now)) return [];
  const arrived = plural(added, 'entry', 'entries');
  return [`${arrived} came in ${durationText(ms)} and none was delivered or settled`];
}

function pendingStalls({ before, now, ms }: Span): string[] {
  const { pending, oldestPendingId } = now.progress;
  const isSame = oldestPendingId !== null && before.progress.oldestPendingId === oldestPendingId;
  if (!isSame || isSettling(before, now)) return [];
  return [
    `pending entries do not move: ${countText(pending)} held, none acknowledged in ${durationText(ms)}`,
  ];
}

/** Whether an entry was acknowledged in between: read minus pending grew. */
function isSettling(before: StreamSample, now: StreamSample): boolean {
  const [a, b] = [before.progress, now.progress];
  if (b.pending < a.pending) return true;
  const read = difference(a.read, b.read);
  return read !== null && read - (b.pending - a.pending) > 0;
}

/** Unread entries that were trimmed in between; null when none can have been. */
export function trimmedUnread(before: Moment, now: Moment): number | null {
  if (before.stream.kind !== 'seen' || now.stream.kind !== 'seen') return null;
  const [a, b] = [before.stream.value.progress, now.stream.value.progress];
  const isSameGroup = a.deliveredId === b.deliveredId;
  if (!isSameGroup || !isTrimReached(a) || a.firstId === b.firstId) return null;
  const added = difference(a.added, b.added);
  return added === null ? null : Math.max(0, a.length + added - b.length);
}

function difference(before: number | null, now: number | null): number | null {
  return before === null || now === null || now < before ? null : now - before;
}
