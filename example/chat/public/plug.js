// The plug: what "drop my connection" pulls. The client knows nothing of it, it only sees its links die.

let isUnplugged = false
const cuts = new Set()

export class Socket extends WebSocket {
  constructor (...args) {
    super(...args)
    const cut = () => { this.close() }
    cuts.add(cut)
    this.addEventListener('close', () => { cuts.delete(cut) })
    if (isUnplugged) cut()
  }
}

export async function pluggedFetch (url, init = {}) {
  if (isUnplugged) throw new TypeError('unplugged')
  const controller = new AbortController()
  const cut = () => { controller.abort(new TypeError('unplugged')) }
  cuts.add(cut)
  controller.signal.addEventListener('abort', () => { cuts.delete(cut) })
  const signals = init.signal ? [init.signal, controller.signal] : [controller.signal]
  return await fetch(url, { ...init, signal: AbortSignal.any(signals) })
}

export function unplug () {
  isUnplugged = true
  for (const cut of [...cuts]) cut()
}

export function plugIn () { isUnplugged = false }
