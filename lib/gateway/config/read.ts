import { dirname } from 'node:path'
import { loadConfig } from './load.js'
import { resolveConfig, type GatewaySettings } from './resolve.js'

/** What a command line says in place of the config. */
export interface Overrides { readonly port?: number, readonly host?: string }

/**
 * Reads a config file.
 *
 * @throws ConfigError with everything that is wrong
 */
export async function readConfig (
  path: string, env: Readonly<Record<string, string | undefined>>, { port, host }: Overrides = {}
): Promise<GatewaySettings> {
  const settings = resolveConfig(await loadConfig(path), { env, directory: dirname(path) })
  return { ...settings, listen: { port: port ?? settings.listen.port, host: host ?? settings.listen.host } }
}
