import { readFileSync } from 'node:fs'
import { extname, resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import { ConfigError } from './faults.js'

const MODULES: ReadonlySet<string> = new Set(['.js', '.mjs', '.cjs', '.ts', '.mts', '.cts'])

function fail (says: string): never { throw new ConfigError([{ path: '', says }]) }

/**
 * Reads a config file: JSON, YAML, or a module whose default export is the config.
 *
 * @throws ConfigError for a file that is not there, or cannot be read as what its name says
 */
export async function loadConfig (path: string): Promise<unknown> {
  const kind = extname(path).toLowerCase()
  let text: string
  try {
    // A module that is not there is told by each loader in its own words.
    text = readFileSync(path, 'utf8')
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    return fail(code === 'ENOENT'
      ? `${path} is not there: give the path of the config as --config <file>`
      : `${path} cannot be read (${String(code)})`)
  }
  if (MODULES.has(kind)) return await loadModule(resolve(path))
  if (kind === '.json') return parseJson(path, text)
  if (kind === '.yaml' || kind === '.yml') return await parseYaml(path, text)
  return fail(`${path}: a config is a file named .json, .yaml, .js or .ts`)
}

function parseJson (path: string, text: string): unknown {
  try {
    return JSON.parse(text)
  } catch (error) {
    const { message } = error as Error
    const at = /position (\d+)/.exec(message)?.[1]
    const before = text.slice(0, at === undefined ? text.length : Number(at)).split('\n')
    return fail(`${path}:${before.length}:${before.at(-1)!.length + 1}: not JSON: ${message.replace(/ in JSON at.*$/, '')}`)
  }
}

async function parseYaml (path: string, text: string): Promise<unknown> {
  const { parseDocument } = await import('yaml')
  const document = parseDocument(text)
  const [error] = document.errors
  if (error !== undefined) {
    const { line, col } = error.linePos?.[0] ?? { line: 1, col: 1 }
    return fail(`${path}:${line}:${col}: not YAML: ${error.message.split('\n')[0]!.replace(/ at line .*$/, '')}`)
  }
  return document.toJS({ maxAliasCount: 100 })
}

async function loadModule (path: string): Promise<unknown> {
  let module: { default?: unknown }
  try {
    module = await import(pathToFileURL(path).href) as typeof module
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException
    if (code === 'ERR_UNKNOWN_FILE_EXTENSION') {
      return fail(`${path}: Node ${process.versions.node} loads no TypeScript: use Node 22.18 or newer, or a loader such as NODE_OPTIONS="--import tsx"`)
    }
    return fail(`${path} cannot be loaded: ${message.split('\n')[0]!}`)
  }
  return module.default === undefined ? fail(`${path} has no default export: export default { rooms: { ... } }`) : module.default
}
