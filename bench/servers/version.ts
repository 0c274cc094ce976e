import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'

const PACKAGES: Readonly<Record<string, readonly string[]>> = {
  realtime: ['fastify-realtime'],
  workers: ['fastify-realtime'],
  gateway: ['fastify-realtime'],
  'gateway-hooks': ['fastify-realtime'],
  socketio: ['socket.io'],
  'socketio-uws': ['socket.io', '@trufflesuite/uws-js-unofficial'],
  'ws-bare': ['ws'],
  naive: ['@fastify/websocket'],
  uws: ['@trufflesuite/uws-js-unofficial'],
  bun: [],
  'fastify-sse': ['@fastify/sse'],
  'sse-loop': [],
  'poll-loop': ['fastify']
}

interface Manifest { readonly name?: string, readonly version?: string }

/** The packages behind a peer, with their versions; the runtime, where there are none. */
export function versionOf (peer: string): string {
  const packages = PACKAGES[peer]!
  if (packages.length > 0) return packages.map(versionOfPackage).join(', ')
  const { bun, node } = process.versions
  return bun === undefined ? `Node ${node}` : `Bun ${bun}`
}

export function versionOfPackage (name: string): string {
  let folder = dirname(createRequire(import.meta.url).resolve(name))
  for (;;) {
    const manifest = read(join(folder, 'package.json'))
    if (manifest?.name === name) return `${name} ${manifest.version ?? '?'}`
    if (folder === dirname(folder)) return name
    folder = dirname(folder)
  }
}

function read (path: string): Manifest | undefined {
  try {
    return JSON.parse(readFileSync(path, 'utf8')) as Manifest
  } catch {
    return undefined
  }
}
