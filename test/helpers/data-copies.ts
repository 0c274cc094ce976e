import { cp, rm } from 'node:fs/promises'
import type { Lives } from '../../lib/adapters/contract/former-epochs.js'
import type { Server } from './servers.js'

/** Puts aside what a server keeps in a directory, puts it back, or takes it away, each while the server is down. */
export function copies (server: Server, data: string): Omit<Lives, 'make'> {
  const down = async (step: () => Promise<void>): Promise<void> => {
    await server.kill()
    await step()
    await server.start()
  }
  const remove = async (): Promise<void> => { await rm(data, { recursive: true, force: true }) }
  return {
    keep: async () => { await down(async () => { await cp(data, `${data}-old`, { recursive: true }) }) },
    restart: async () => { await down(async () => {}) },
    putBack: async () => {
      await down(async () => {
        await remove()
        await cp(`${data}-old`, data, { recursive: true })
      })
    },
    lose: async () => { await down(remove) }
  }
}
