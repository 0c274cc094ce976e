import { closeSync, openSync, readFileSync, writeSync } from 'node:fs'

/** What a node did, in the order in which it did it. */
export type Line =
  /** the caller was told that the event has this place */
  | {
    readonly is: 'accepted',
    readonly room: string,
    readonly id: string,
    readonly epoch: string,
    readonly offset: number
  }
  /** the caller was told that it was not published and will not be */
  | { readonly is: 'refused', readonly room: string, readonly id: string, readonly why: string }
  /** the newest value that was accepted of a `latest` event */
  | { readonly is: 'level', readonly room: string, readonly of: string, readonly value: number }
  /** the broker's answer to who asked for a place was not to be had for so many milliseconds: the node decided alone */
  | { readonly is: 'alone', readonly key: string, readonly waited: number }
  /** the handler of a message ran */
  | { readonly is: 'effect', readonly message: string, readonly node: string }

/** Keeps lines in a file: they are there also when the process is killed behind the call. */
export class Journal {
  readonly #file: number

  constructor (path: string) { this.#file = openSync(path, 'a') }

  write (line: Line): void { writeSync(this.#file, `${JSON.stringify(line)}\n`) }

  close (): void { closeSync(this.#file) }
}

export function readJournal (path: string): Line[] {
  return readFileSync(path, 'utf8').split('\n').filter((text) => text !== '').map((text) => JSON.parse(text) as Line)
}
