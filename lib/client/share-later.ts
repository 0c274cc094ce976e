import type { Part } from './part.js'
import { canShare } from './platform.js'

/** `share: true`: what shares the link is loaded when it is needed, so that bundlers keep it out of other pages. */
export const shareLater: Part = (core) => {
  if (core.isHub || !canShare()) return
  const { line } = core
  const { prepare } = line
  let loading: Promise<void> | undefined
  line.prepare = async () => {
    // Where it cannot be loaded, as when the server has newer files than the page, nothing is shared.
    await (loading ??= import('./share.js').catch(() => {}).then((found) => {
      line.prepare = prepare
      found?.share()(core)
    }))
    if (core.shown.state !== 'closed') await line.prepare()
  }
}
