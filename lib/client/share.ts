import type { FrameData, Link, LinkEvents } from './links/link.js'
import type { Core, Part } from './part.js'
import type { Channel, Locks, Platform } from './platform.js'
import { runHub, type Letter } from './share-hub.js'

// What is loaded when it is needed imports nothing that a page has already: a bundler would split the page for it.

/** What the hub writes to all tabs, or to one. */
interface Mail extends Letter { readonly hub: string }

interface ShareOptions {
  readonly core: Core
  readonly locks: Locks
  /** Names the lock of the hub and the channel. */
  readonly place: string
  createChannel (): Channel
  /** Makes this tab the hub until the signal is aborted. */
  lead (signal: AbortSignal): () => void
}

/**
 * Lets the tabs of one browser share one link to the server. One of them, which holds a lock, is the hub: it has the
 * link, and is to the others what the server is. When it goes, the browser gives the lock to the next one, and all go
 * on there where they were, as after any break.
 *
 * @param name tells apart who must not share, such as the users of one browser
 */
export function share (name = ''): Part {
  return (core) => {
    // The types of Node know some of them otherwise.
    const { navigator: { locks } = {}, BroadcastChannel } = globalThis as unknown as Platform
    if (core.isHub || !locks || !BroadcastChannel) return
    const { url, options, line, host, shown } = core
    const { over } = host
    const { prepare, open, transports } = line
    const place = `realtime ${url} ${name}`
    const createChannel = (): Channel => new BroadcastChannel(place)
    /** The server recognises the tabs by the connections that they had by another hub. */
    const former: Part = (next) => {
      const known = [shown.connectionId, line.former].filter(Boolean).join()
      if (!known) return
      next.line.former = known
      // What lets no WebSocket through does so for the next tab, too.
      const at = transports.indexOf(shown.transport)
      if (at > 0) next.line.climb(at)
    }
    const shared = createSharedLink({
      core,
      locks,
      place,
      createChannel,
      lead: (signal) => runHub({
        connect: (hub) => core.createClient(url, { ...options, use: [former, hub, ...options.use ?? []] }),
        locks,
        place,
        channel: createChannel(),
        signal
      })
    })
    line.isShared = true
    line.prepare = async () => {
      try {
        await shared.begin()
      } catch {
        // The page may not use them, as where its storage is blocked: it has a link of its own.
        line.isShared = false
        line.open = open
        line.prepare = prepare
        await prepare()
      }
    }
    line.open = shared.open
    host.over = (reason, isMeant) => {
      shared.over()
      over(reason, isMeant)
    }
  }
}

const untilAborted = (signal: AbortSignal): Promise<void> => new Promise((resolve) => {
  if (signal.aborted) resolve()
  else signal.addEventListener('abort', () => { resolve() })
})

/** Stands in for the transports; `over` tells that this client is over. */
function createSharedLink ({ core: { host, shown, rooms, line }, locks, place, createChannel, lead }: ShareOptions): {
  /** @throws what the page may not use */
  begin (): Promise<void>
  open (events: LinkEvents): Link
  over (): void
} {
  const tab = `${Math.random()}`
  const { wake } = line
  let links = 0
  let life: AbortController | undefined
  let isHere: Promise<void> | undefined

  /** Makes this tab the hub when it has the lock, until it is over or another tab takes the lock away from it. */
  const reign = (signal: AbortSignal, steal?: true): void => {
    let stop: (() => void) | undefined
    locks.request(place, steal ? { steal } : { signal }, async () => {
      stop = lead(signal)
      await untilAborted(signal)
      stop()
    }).catch(() => {
      stop?.()
      // It waits behind all others. Who takes a lock away has been waiting for it all the time.
      if (stop && !steal) reign(signal)
    })
  }

  return {
    async begin () {
      if (!life) {
        const { signal } = life = new AbortController()
        // From then on this tab is seen. The hub asks for the lock of this tab to know when the tab is gone, so the tab
        // has to hold it before the hub hears of it.
        isHere = new Promise((resolve, reject) => {
          createChannel().close()
          const held = (): Promise<void> => {
            resolve()
            return untilAborted(signal)
          }
          locks.request(`${place} ${tab}`, { signal }, held).catch((error) => { if (!signal.aborted) reject(error) })
        })
        reign(signal)
      }
      await isHere
    },
    open (events) {
      const channel = createChannel()
      const from = `${tab} ${++links}`
      const post = (mail: object): void => { channel.postMessage({ from, ...mail }) }
      let hub: string | undefined
      let isHeard: boolean
      /**
       * Says hello until there is a link. A hub that twice says nothing to it stands still, as in a tab with an open
       * `alert()`, so that this tab takes its lock. The tabs ask at different times, so that one of them does.
       */
      const greet = (isAgain?: boolean): void => {
        isHeard = false
        post({ hello: true })
        line.after('hub', line.timeout * (0.4 + Math.random() / 10), () => {
          // The lock may be denied, and then it is tried again.
          if (isAgain && !isHeard) reign(life!.signal, true)
          greet(!isHeard)
        })
      }
      channel.onmessage = ({ data }: { data: Mail }) => {
        if (!data.hub || (data.to && data.to !== from)) return
        events.heard()
        isHeard = true
        const { up, down, failed, frame, gap } = data
        const lost = rooms.get(gap!)
        if (failed) host.fail(failed)
        else if (lost?.isIn) lost.gap()
        else if (up) {
          if (!hub || hub === data.hub) {
            hub = data.hub
            shown.transport = up.transport
            // That of the hub, too, may stand still at any time, and asking costs nothing.
            events.frame({ type: 'welcome', data: { ...up, heartbeat: 0 } as FrameData })
          // Another tab has become the hub. One that stood still answers a hello that another one has answered.
          } else if (!data.to) events.closed()
        } else if (down) {
          if (hub === data.hub || down.reason) events.closed(down.reason)
        } else if (frame && hub === data.hub) events.frame(frame)
      }
      greet()
      // The page that has the link may be hidden, and then looks at nothing by itself.
      line.wake = (isOnline) => {
        post({ wake: isOnline })
        wake(isOnline)
      }
      return {
        // As JSON, which is what a link to the server carries: a channel carries other things.
        send (frame) { post({ to: hub, frame: JSON.parse(JSON.stringify(frame)) }) },
        close () {
          line.wake = wake
          post({ bye: true })
          channel.close()
        }
      }
    },
    over () {
      life?.abort()
      life = undefined
    }
  }
}
