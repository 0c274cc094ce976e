import { once } from 'node:events'
import type { Client } from 'pg'

/** A row of the table: what is to be broadcast. */
export interface Outgoing {
  /** a `bigint` as text */
  readonly id: string
  readonly room: string
  readonly event: string
  readonly data: unknown
}

/** Rows that one query reads, at most. */
const PAGE = 100

/** The rows of the outbox as they are committed, each until it is removed. */
export class Outbox {
  readonly #client: Client
  /** rows that were given and are still in the table */
  readonly #given = new Set<string>()
  /** rows whose removal waits for that of the next */
  #done: string[] = []

  constructor (client: Client) { this.#client = client }

  /**
   * Gives rows by their ids. A row whose transaction is committed behind that of a later id comes behind it: what was
   * given is asked for by name, so that none is passed over.
   */
  async * rows (signal: AbortSignal): AsyncGenerator<Outgoing> {
    // One bridge at a time, in the order of the ids. Another one waits here until this one has gone or died.
    await this.#client.query("select pg_advisory_lock(hashtext('outbox'))")
    let isWritten = false
    this.#client.on('notification', () => { isWritten = true })
    await this.#client.query('listen outbox')
    while (!signal.aborted) {
      isWritten = false
      const { rows } = await this.#client.query<Outgoing>(
        'select id, room, event, data from outbox where id <> all($1::bigint[]) order by id limit $2',
        [[...this.#given], PAGE]
      )
      for (const row of rows) {
        this.#given.add(row.id)
        yield row
      }
      if (rows.length === 0 && !isWritten) await once(this.#client, 'notification', { signal }).catch(() => undefined)
    }
  }

  /** Removes a row, and those before it that were to wait for it. */
  async remove ({ id }: Outgoing, more: boolean): Promise<void> {
    this.#done.push(id)
    if (more) return
    const ids = this.#done
    this.#done = []
    await this.#client.query('delete from outbox where id = any($1::bigint[])', [ids])
    for (const each of ids) this.#given.delete(each)
  }
}
