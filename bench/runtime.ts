import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import type { Peer } from './peers.js'

/** Where Bun is: its package where it is installed, else a folder of PATH. */
function findBun (): string | undefined {
  const installed = fileURLToPath(new URL('../node_modules/bun/bin/bun.exe', import.meta.url))
  return [installed, ...(process.env.PATH ?? '').split(':').map((folder) => `${folder}/bun`)].find(existsSync)
}

/** The program that runs the server of a peer. @throws Error that says how it is had */
export function runtimeOf ({ runtime }: Peer): string {
  if (runtime === undefined) return process.execPath
  const bun = findBun()
  if (bun === undefined) throw new Error('Bun is not installed: npm install --no-save bun')
  return bun
}
