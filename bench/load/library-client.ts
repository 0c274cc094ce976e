import type { ClientOptions } from './client.js'
import type { LoadClient } from './load-client.js'
import type { Place } from './place.js'
import type { Totals } from './totals.js'

/** What the library of a peer is asked for: a client in a room, which tells of each event that it has read. */
export interface Library {
  /** Resolves when the client is in the room. @returns what ends it */
  enter (url: string, token: string, room: string, onEvent: () => void): Promise<() => void>
}

/** The modules of the libraries by dialect. */
const LIBRARIES: Readonly<Record<string, string>> = {
  realtime: './library-realtime.js',
  socketio: './library-socketio.js',
  plain: './library-ws.js'
}

/** A client that is what an application uses, whose own CPU is what is measured. */
export class LibraryClient implements LoadClient {
  readonly place: Place | undefined = undefined
  readonly ready: Promise<void>
  readonly room: string
  onAck: (() => void) | undefined
  onEvent: ((payload: Buffer) => void) | undefined
  #end: (() => void) | undefined

  constructor ({ port, token, rooms }: ClientOptions, dialect: string, totals: Totals) {
    this.room = rooms[0]!
    this.ready = import(LIBRARIES[dialect]!).then(async ({ library }: { library: Library }) => {
      this.#end = await library.enter(`http://127.0.0.1:${port}`, token, this.room, () => { totals.event() })
    })
  }

  send (): void { throw new Error('a client with a library does not speak here') }

  end (): void { this.#end?.() }
}
