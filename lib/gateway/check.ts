import { once } from 'node:events'
import { createServer } from 'node:net'
import { memory } from '../index.js'
import { ConfigError, type Fault } from './config/faults.js'
import type { GatewaySettings } from './config/resolve.js'
import { createGateway } from './gateway.js'
import { faultOf, told } from './plugin-faults.js'
import { adapterOf } from './plugin-options.js'

/**
 * Tries everything that can be tried without serving anybody: all rooms are declared, and the port is opened for a
 * moment. No broker and no backend is asked.
 *
 * @throws ConfigError
 */
export async function tryConfig (settings: GatewaySettings): Promise<void> {
  const faults: Fault[] = []
  try {
    await told('adapter', async () => await adapterOf(settings))
    const app = await createGateway(settings, { logger: false, adapter: memory() })
    try {
      // Some of it is known once all rooms are declared.
      await told('', async () => { await app.ready() })
    } finally {
      await app.close()
    }
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error
    faults.push(...error.faults)
  }
  const { port, host } = settings.listen
  const server = createServer()
  try {
    await once(server.listen(port, host), 'listening')
    server.close()
  } catch (error) {
    faults.push(listenFault(error, settings))
  }
  if (faults.length > 0) throw new ConfigError(faults)
}

/** Why the gateway cannot listen. */
export function listenFault (error: unknown, { listen: { port, host } }: GatewaySettings): Fault {
  const { code, message } = error as NodeJS.ErrnoException
  if (code === 'EADDRINUSE') return { path: 'listen.port', says: `${port} is taken on ${host}: choose another one, or end the process that has it` }
  if (code === 'EACCES') return { path: 'listen.port', says: `${port} needs a privilege: choose one from 1024 on` }
  if (code === 'EADDRNOTAVAIL' || code === 'ENOTFOUND') return { path: 'listen.host', says: `${host} is no address of this machine; 0.0.0.0 is all of them` }
  const fault = faultOf(error, '')
  return fault.path === '' ? { path: '', says: `the gateway cannot start: ${message}` } : fault
}
