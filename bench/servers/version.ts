import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'

const PACKAGES: Readonly<Record<string, string>> = {
  realtime: 'fastify-realtime',
  gateway: 'fastify-realtime',
  'gateway-hooks': 'fastify-realtime',
  socketio: 'socket.io',
  'ws-bare': 'ws',
  naive: '@fastify/websocket',
  uws: '@trufflesuite/uws-js-unofficial'
}

interface Manifest { readonly name?: string, readonly version?: string }

/** The installed package behind a peer, with its version. */
export function versionOf (peer: string): string { return versionOfPackage(PACKAGES[peer]!) }

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
