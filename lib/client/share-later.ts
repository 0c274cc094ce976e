import type { Share } from './client.js'
import type { Link, SharedLink } from './links/link.js'
import { canShare } from './platform.js'

/** `share: true`: what shares the link is loaded when it is needed, so that bundlers keep it out of other pages. */
export const shareLater: Share = (url, options, create) => {
  if (!canShare()) return undefined
  let shared: SharedLink | undefined
  const loading = import('./share.js').then(({ share }) => { shared = share()(url, options, create) })
  return {
    open (events) {
      let link: Link | undefined
      let isClosed = false
      void loading.then(() => { if (!isClosed) link = shared!.open(events) })
      return {
        send (frame) { link?.send(frame) },
        close () {
          isClosed = true
          link?.close()
        }
      }
    },
    over () { shared?.over() }
  }
}
