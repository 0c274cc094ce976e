import type { HistoryPage } from '../adapters/adapter.js'
import type { Awaitable } from '../structures/awaitable.js'
import type { Packet } from '../protocol/packet.js'
import type { Position } from '../protocol/position.js'
import type { GapData } from '../protocol/server-frames.js'
import { after } from '../structures/timers.js'

/** Events that are read and written at a time. */
export const PAGE = 128
/** The same in bytes; a page has more only where a single event does. */
export const PAGE_BYTES = 524_288
/** Milliseconds until a history that could not be read is read again. */
const RETRY = 500

/** The stream that a follower reads. */
export interface Source {
  read (since: Position): Awaitable<HistoryPage>
  /** Epoch of the events that live members of this node are offered. */
  readonly epoch: string
  /** Offset of the newest event that they have been offered. */
  readonly top: number
  /**
   * Whether the stream has a state beside it, which must not be older than what a follower has read: one that has read
   * more than live members were offered reads on then, and the history answers when this node has as much.
   */
  readonly hasState?: boolean
  /** Told of a follower that came back after a break and has caught up, with the number of events that it was sent. */
  resumed? (events: number): void
}

/** A member that follows a stream. */
export interface Follower {
  /** Its position, which moves behind each event that was written. */
  position: Position
  readonly isGone: boolean
  /** Whether it has come back after a break, unlike one that is new or that polls without a break. */
  readonly isBack?: boolean
  /** Another number each time that it begins to follow, so that reads from before are ignored. */
  readonly turn: number
  /** @returns false while its link lags */
  replay (packet: Packet): boolean
  /** Whether so little waits for it that a replay may begin. */
  readonly hasRoom?: boolean
  /** The same of so many bytes: with what waits already they must not be more than may wait at all. */
  hasRoomFor? (bytes: number): boolean
  /** @param isFirst whether before all who have had their turn */
  whenDrained (callback: () => void, isFirst?: boolean): void
  /** Tells it of a gap; it continues at the end of the gap. */
  gap (gap: GapData): void
  /** Tells it that it has caught up: from here on events come live. */
  live (): void
}

/** Number of events that a follower was sent since it began. */
interface Sent { events: number }

/**
 * Lets a member follow a stream page by page, as fast as its link drains, until it has caught up. Nothing is queued for
 * it meanwhile, because events that are published while it reads are read as well. When the stream is trimmed or
 * replaced before the member has read it, the member is told of a gap. A member may follow many streams over one link:
 * while enough waits for that, none of them adds to it, and those that have had nothing yet come first when it drains.
 */
export function follow (
  follower: Follower,
  source: Source,
  turn = follower.turn,
  sent: Sent = { events: 0 }
): void {
  // Between two polls a member is gone and comes back; a page requested before that belongs to an older position.
  const isOver = (): boolean => follower.isGone || follower.turn !== turn
  const resume = (): void => { follow(follower, source, turn, sent) }
  let page: Awaitable<HistoryPage>
  const { epoch } = source
  for (;;) {
    if (isOver()) return
    if (follower.hasRoom === false) return follower.whenDrained(resume, true)
    page = source.read(follower.position)
    if (page instanceof Promise) break
    if (!step(follower, source, page, resume, sent)) return
  }
  page.then(
    (read) => {
      if (isOver()) return
      // A page of the epoch before says nothing of what was lost between the two, of which live members were told in
      // the meantime.
      const isStale = source.epoch !== epoch && source.epoch !== read.top.epoch
      if (isStale || step(follower, source, read, resume, sent)) resume()
    },
    () => { after(resume, RETRY).unref() }
  )
}

/** @returns whether to read on at once */
function step (
  follower: Follower,
  source: Source,
  page: HistoryPage,
  resume: () => void,
  sent: Sent
): boolean {
  const { position } = follower
  if (!page.resumed) {
    const { epoch, offset } = page.floor
    follower.position = page.floor
    follower.gap(epoch === position.epoch ? { epoch, from: position.offset, to: offset } : { epoch, to: offset })
  } else {
    if (page.top.epoch !== position.epoch) {
      follower.position = { epoch: page.top.epoch, offset: position.offset }
      follower.gap({ epoch: page.top.epoch, from: position.offset, to: position.offset })
    }
    // Other streams may have filled the link while the page was read.
    if (page.events.length > 0 && follower.hasRoom === false) {
      follower.whenDrained(resume, true)
      return false
    }
    for (const packet of page.events) {
      // What is read together may not fit together.
      if (follower.hasRoomFor?.(packet.bytes.length) === false) {
        follower.whenDrained(resume, packet === page.events[0])
        return false
      }
      const isWritable = follower.replay(packet)
      follower.position = packet.position!
      sent.events++
      if (!isWritable) {
        follower.whenDrained(resume)
        return false
      }
    }
  }
  const isRead = page.resumed && page.events.length === 0
  if (isRead && follower.position.offset < page.top.offset) follower.position = page.top
  const { offset } = follower.position
  if (offset >= page.top.offset && offset >= source.top) {
    if (source.hasState === true && page.resumed && !isRead && offset > source.top) return true
    follower.live()
    if (follower.isBack === true) source.resumed?.(sent.events)
    return false
  }
  if (!isRead) return true
  // The node was told of an event that the history does not show yet, because a replica is behind its primary.
  after(resume, RETRY).unref()
  return false
}
