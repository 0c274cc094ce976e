import { join, sep } from 'node:path'
import { SchemaFault } from './checker.js'

/**
 * Loads an optional package when the first schema that needs it is declared, from where this library is installed, or
 * from the application where this library stands in a bundle.
 *
 * @param what the schema is, for the error
 * @throws SchemaFault that names what to install
 */
export function load (name: string, install: string, what: string): unknown {
  let cause: unknown
  for (const from of [import.meta.url, join(process.cwd(), sep)]) {
    try {
      // `createRequire` is not imported, because bundlers take a call of an imported one for their own.
      return process.getBuiltinModule('node:module').createRequire(from)(name)
    } catch (error) {
      cause ??= error
    }
  }
  throw new SchemaFault(
    `the schema is ${what}, whose checker cannot be loaded: npm i ${install} (${(cause as Error).message.split('\n')[0]!})`
  )
}
