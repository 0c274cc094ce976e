import { readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import type { Fault } from './faults.js'
import type { GivenConfig } from './schema.js'

/** Where texts that are not in the config itself come from. */
export interface Sources {
  readonly env: Readonly<Record<string, string | undefined>>
  /** The folder of the config, in which files are named. */
  readonly directory: string
}

/** Reads the texts of a config that stand elsewhere, and gathers what is wrong with it. */
export class Reading {
  readonly faults: Fault[] = []
  readonly #sources: Sources

  constructor (sources: Sources) {
    this.#sources = sources
  }

  fault (path: string, says: string): undefined {
    this.faults.push({ path, says })
    return undefined
  }

  /** The text itself; `undefined` where it cannot be had, which is a fault then. */
  text (given: GivenConfig, path: string): string | undefined {
    if (typeof given === 'string') return given
    if ('env' in given) {
      const text = this.#sources.env[given.env]
      return text === undefined || text === ''
        ? this.fault(path, `the environment variable ${given.env} is not set`)
        : text
    }
    try {
      return readFileSync(resolve(this.#sources.directory, given.file), 'utf8').trimEnd()
    } catch (error) {
      return this.fault(path, `the file ${given.file} cannot be read (${String((error as NodeJS.ErrnoException).code)})`)
    }
  }

  /** A text that nobody can guess, and that a header `authorization` can carry. */
  bearer (given: GivenConfig, path: string, bytes: number): string | undefined {
    const text = this.secret(given, path, bytes)
    return text === undefined || /^[A-Za-z0-9._~+/-]+=*$/.test(text)
      ? text
      : this.fault(path, 'has characters that no bearer token has: letters, digits and - . _ ~ + / are allowed, then =')
  }

  /** A text that nobody can guess. */
  secret (given: GivenConfig, path: string, bytes: number): string | undefined {
    const text = this.text(given, path)
    if (text === undefined) return undefined
    const length = Buffer.byteLength(text)
    return length < bytes
      ? this.fault(path, `is too short: it has ${length} bytes and needs ${bytes} at least; make one by: openssl rand -base64 ${bytes}`)
      : text
  }
}
