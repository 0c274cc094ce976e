import { readFileSync } from 'node:fs'
import { dirname, join, sep } from 'node:path'
import type { FastifyInstance } from 'fastify'
import { REALTIME_ERR_PLUGIN } from '../errors/misuse.js'

/** The first version that keeps the error of an upgrade's socket from ending the process while hooks of the app run. */
const FLOOR = [11, 3, 2] as const

interface Copy { readonly version: string, readonly text: string }

/** Copies of @fastify/websocket that this process has loaded; none where everything was bundled into one file. */
function loadedCopies (): Copy[] {
  // `createRequire` is not imported, because webpack takes a call of an imported one for its own and fails to read its
  // argument.
  const cache = process.getBuiltinModule?.('node:module').createRequire(join(process.cwd(), sep)).cache ?? {}
  const mains = Object.keys(cache).filter((path) => path.endsWith(join('@fastify', 'websocket', 'index.js')))
  return mains.flatMap((path) => {
    try {
      const { version } = JSON.parse(readFileSync(join(dirname(path), 'package.json'), 'utf8')) as { version: string }
      return [{ version, text: readFileSync(path, 'utf8') }]
    } catch {
      // The copy was removed after it was loaded, so nothing is known of it.
      return []
    }
  })
}

function isBelow (version: string): boolean {
  const parts = version.split('.').map((part) => Number.parseInt(part, 10))
  const at = FLOOR.findIndex((part, index) => parts[index] !== part)
  return at !== -1 && (parts[at] ?? 0) < FLOOR[at]!
}

/**
 * Refuses an app's own @fastify/websocket that is too old. The listener on the server shows which of the copies in this
 * process the app has registered, because its source text stands in that copy.
 *
 * @throws REALTIME_ERR_PLUGIN with the version and what helps
 */
export function checkOwnWebsocket (app: FastifyInstance): void {
  const listeners = app.server.listeners('upgrade').map(String)
  const registered = loadedCopies().filter(({ text }) => listeners.some((listener) => text.includes(listener)))
  const [old] = registered
  if (old === undefined || registered.some(({ version }) => !isBelow(version))) return
  const floor = FLOOR.join('.')
  const found = `the app has registered @fastify/websocket ${old.version}; this plugin needs ${floor} or newer`
  const help = `npm install @fastify/websocket@^${floor}, or remove the registration: this plugin then has its own`
  throw new REALTIME_ERR_PLUGIN(`${found}: ${help}`)
}
