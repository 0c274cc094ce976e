/**
 * The TypeScript of the repository as JavaScript, in `.cache/typescript` with the same folders. Only types that can be
 * blanked are allowed (`erasableSyntaxOnly`), so that lines and columns stay and no source maps are read. A module
 * finds the next one there without a hook; a hook for each import would cost a process more than all its modules.
 */
import {
  existsSync, lstatSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, statSync, symlinkSync, utimesSync,
  writeFileSync
} from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join, relative, sep } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'

const ROOT = fileURLToPath(new URL('../../', import.meta.url))
export const MIRROR = join(ROOT, '.cache', 'typescript')
const FOLDERS = ['lib', 'test', 'example', 'scripts', 'bench', join('docs', '.vitepress')]
const IS_TYPESCRIPT = /(?<!\.d)\.ts$/
/** What a module may import beside TypeScript; a link leads to it, so that it is one module for all. */
const IS_LINKED = /^(?:node_modules|dist|cache)$|\.(?:[cm]?js|json)$/
/** A mirror that was written before this file is not trusted. */
const SELF = statSync(fileURLToPath(import.meta.url)).mtimeMs

const require = createRequire(import.meta.url)

/** Brings the mirror up to date. Several processes may do so at once. */
export function mirror () {
  for (const folder of FOLDERS) if (existsSync(join(ROOT, folder))) mirrorFolder(folder)
  link('dist')
}

function mirrorFolder (folder) {
  mkdirSync(join(MIRROR, folder), { recursive: true })
  const old = new Set(readdirSync(join(MIRROR, folder)))
  for (const entry of readdirSync(join(ROOT, folder), { withFileTypes: true })) {
    const { name } = entry
    const source = join(folder, name)
    if (IS_LINKED.test(name)) {
      if (!old.delete(name)) link(source)
    } else if (entry.isDirectory()) {
      old.delete(name)
      mirrorFolder(source)
    } else if (IS_TYPESCRIPT.test(name)) {
      old.delete(name.replace(IS_TYPESCRIPT, '.js'))
      mirrorFile(source)
    }
  }
  for (const name of old) rmSync(join(MIRROR, folder, name), { recursive: true, force: true })
}

function link (source) {
  try {
    symlinkSync(join(ROOT, source), join(MIRROR, source))
  } catch (error) {
    if (error.code !== 'EEXIST') throw error
  }
}

function mirrorFile (source) {
  const path = join(ROOT, source)
  const target = join(MIRROR, source.replace(IS_TYPESCRIPT, '.js'))
  const { atime, mtime, mtimeMs } = statSync(path)
  const known = lstatSync(target, { throwIfNoEntry: false })
  // The time of the source, which is kept to the millisecond, says which state of it this is; the time of the change
  // says when it was written.
  if (known !== undefined && Math.abs(known.mtimeMs - mtimeMs) < 2 && known.ctimeMs > SELF) return
  // Beside the folders, where no other process takes it for the mirror of a source that is gone.
  const written = join(MIRROR, `${process.pid}.js`)
  writeFileSync(written, blanked(path))
  utimesSync(written, atime, mtime)
  renameSync(written, target)
}

/**
 * Returns a source without its types. Its address, in itself and in stack traces, is the one of the source. One that
 * cannot be blanked says so when it is loaded.
 */
export function blanked (path) {
  const url = pathToFileURL(path).href
  const meta = JSON.stringify({ url, filename: path, dirname: dirname(path) })
  // Loading it takes longer than all the modules of the library.
  const { transformSync } = require('amaro')
  let code
  try {
    code = transformSync(readFileSync(path, 'utf8'), { mode: 'strip-only', filename: path }).code
  } catch (error) {
    code = `throw new SyntaxError(${JSON.stringify(`${path}: ${error.message}`)})`
  }
  return `Object.assign(import.meta, ${meta}); ${code}\n//# sourceURL=${url}\n`
}

/** The file of the repository that is meant by the path of a mirrored one, or the path itself. */
export function original (path) {
  return path.startsWith(MIRROR + sep) ? join(ROOT, relative(MIRROR, path)) : path
}

/** The address of the mirrored module of a source, which may be named as its JavaScript is; `undefined` without one. */
export function mirrored (path) {
  const inside = relative(ROOT, path)
  if (!FOLDERS.some((folder) => inside.startsWith(folder + sep)) || !/\.[jt]s$/.test(path)) return undefined
  const target = join(MIRROR, inside.replace(/\.ts$/, '.js'))
  // A link there is JavaScript itself.
  return lstatSync(target, { throwIfNoEntry: false })?.isFile() === true ? pathToFileURL(target).href : undefined
}
