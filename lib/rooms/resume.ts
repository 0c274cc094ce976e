import type { HistoryPage } from '../adapters/adapter.js'
import type { Awaitable } from '../structures/awaitable.js'
import type { Packet } from '../protocol/packet.js'
import type { Position } from '../protocol/position.js'
import type { GapData } from '../protocol/server-frames.js'
import { after } from '../structures/timers.js'

/** Events read and written at a time. */
export const PAGE = 128
/** The same in bytes, of which a page has more only where a single event has. */
export const PAGE_BYTES = 524_288
/** Milliseconds until a history that could not be read is asked again. */
const RETRY = 500

/** Where a follower reads. */
export interface Source {
  read (since: Position): Awaitable<HistoryPage>
  /** offset of the newest event that live members of this node have been offered */
  readonly top: number
}

/** Who follows. */
export interface Follower {
  /** where it stands; moved as events are written */
  position: Position
  readonly isGone: boolean
  /** another one each time that it begins to follow: what still runs from before has ended */
  readonly turn: number
  /** @returns false while its link lags */
  replay (packet: Packet): boolean
  whenDrained (callback: () => void): void
  /** events were lost to it; it goes on at the end of the gap */
  gap (gap: GapData): void
  /** caught up: from here on events come live */
  live (): void
}

/**
 * Lets a member follow a stream page by page, as fast as its link drains, until it has caught up. Nothing is queued for
 * it meanwhile: what is published while it reads is read as well. A stream trimmed under it, or replaced, is a gap,
 * never silence.
 */
export function follow (follower: Follower, source: Source, turn = follower.turn): void {
  // Between two polls a member is gone and comes back: a page that was asked for before is of another place.
  const isOver = (): boolean => follower.isGone || follower.turn !== turn
  const resume = (): void => { follow(follower, source, turn) }
  let page: Awaitable<HistoryPage>
  for (;;) {
    if (isOver()) return
    page = source.read(follower.position)
    if (page instanceof Promise) break
    if (!step(follower, source, page, resume)) return
  }
  page.then(
    (read) => { if (!isOver() && step(follower, source, read, resume)) resume() },
    () => { after(resume, RETRY).unref() }
  )
}

/** @returns whether to read on at once */
function step (follower: Follower, source: Source, page: HistoryPage, resume: () => void): boolean {
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
    for (const packet of page.events) {
      follower.position = packet.position!
      if (!follower.replay(packet)) {
        follower.whenDrained(resume)
        return false
      }
    }
  }
  const isRead = page.resumed && page.events.length === 0
  if (isRead && follower.position.offset < page.top.offset) follower.position = page.top
  const { offset } = follower.position
  if (offset >= page.top.offset && offset >= source.top) {
    follower.live()
    return false
  }
  if (!isRead) return true
  // Told of an event that the history does not show yet: a replica behind its primary.
  after(resume, RETRY).unref()
  return false
}
