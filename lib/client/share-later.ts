import type { Part } from './part.js'
import { canShare } from './platform.js'

/** `share: true`: what shares the link is loaded when it is needed, so that bundlers keep it out of other pages. */
export const shareLater: Part = (core) => {
  if (core.isHub || !canShare()) return
  const { line } = core
  line.isShared = true
  // The part puts its own functions in the place of this one.
  const loading = import('./share.js').then(({ share }) => { share()(core) })
  line.prepare = async () => { await loading }
}
