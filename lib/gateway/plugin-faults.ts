import { below, ConfigError, type Fault } from './config/faults.js'

/** How the plugin names the part of a room in the errors of its declaration, and where that stands in a config. */
const PARTS: ReadonlyArray<readonly [RegExp, (name: string) => readonly string[]]> = [
  [/^(?:data of )?message "([^"]+)" of "[^"]*":? (.*)$/s, (name) => ['messages', name]],
  [/^event "([^"]+)" of "[^"]*":? (.*)$/s, (name) => ['events', name]],
  [/^reply of "([^"]+)" of "[^"]*":? (.*)$/s, (name) => ['messages', name, 'reply']],
  [/^(params|member) of "[^"]*":? (.*)$/s, (name) => [name]]
]

/** What an error of the plugin says of a config, in which options have other paths. */
export function faultOf (error: unknown, path: string): Fault {
  const { message } = error as Error
  const option = /^options(?: of "[^"]*")?\.([\w.]+):? (.*)$/s.exec(message)
  if (option !== null) {
    const keys = option[1]!.split('.').map((key) => /^\d+$/.test(key) ? Number(key) : key)
    return { path: keys.reduce(below, path), says: option[2]!.replaceAll('options.', '') }
  }
  for (const [pattern, keysOf] of PARTS) {
    const found = pattern.exec(message)
    if (found !== null) return { path: keysOf(found[1]!).reduce(below, path), says: found[2]! }
  }
  return { path, says: message }
}

/** @throws ConfigError for what a step of the plugin throws */
export async function told<T> (path: string, step: () => Promise<T>): Promise<T> {
  try {
    return await step()
  } catch (error) {
    throw new ConfigError([faultOf(error, path)])
  }
}
