import type { StreamInfo } from '@nats-io/jetstream'
import type { Drift } from './drift.js'
import { away, isMissing, type NatsLink } from './link.js'
import { Opened } from '../broker/opened.js'

/** The wanted configuration of a stream; times in milliseconds. */
export interface StreamPlan {
  readonly name: string
  readonly subjects: readonly string[]
  /** Messages of one subject; absent for as many as come within `maxAge`. */
  readonly perSubject?: number
  readonly maxAge: number
  /** Milliseconds for which the server recognises a message that is sent again. */
  readonly duplicates: number
  /** The server forwards accepted messages from the first subject to the second. */
  readonly republish?: readonly [from: string, to: string]
}

export interface SetupOptions {
  readonly link: NatsLink
  readonly drift: Pick<Drift, 'settle'>
  readonly replicas: number
  readonly storage: 'file' | 'memory'
}

const NANOS = 1_000_000

/**
 * Finds the streams that this adapter needs, or creates them. A stream that is gone is created again at its next use.
 */
export class NatsSetup {
  readonly #options: SetupOptions
  readonly #opened = new Opened<StreamInfo>()

  constructor (options: SetupOptions) {
    this.#options = options
  }

  /** Forgets all streams, or one, which the server may have lost: they are looked up again. */
  forget (name?: string): void { this.#opened.forget(name) }

  /** @returns the stream as it was when it was opened here */
  async open (plan: StreamPlan): Promise<StreamInfo> {
    return await this.#opened.get(plan.name, () => this.#open(plan))
  }

  /**
   * Makes a request to a stream. A missing stream is created again, and the request repeated.
   *
   * @param how `change` where it changes something, whose outcome is unknown when its answer is missing
   */
  async use<T> (
    plan: StreamPlan,
    ask: (opened: StreamInfo) => Promise<T>,
    how: 'attempt' | 'change' = 'attempt'
  ): Promise<T> {
    const { link } = this.#options
    for (let isAgain = false; ; isAgain = true) {
      const opened = await this.open(plan)
      try {
        return await link[how](() => ask(opened))
      } catch (error) {
        if (!isMissing(error)) throw error
        this.forget(plan.name)
        if (isAgain) throw away()
      }
    }
  }

  async #open ({ name, subjects, perSubject, maxAge, duplicates, republish }: StreamPlan): Promise<StreamInfo> {
    const { link, replicas, storage, drift } = this.#options
    const config = {
      name,
      subjects: [...subjects],
      ...(perSubject === undefined ? {} : { max_msgs_per_subject: perSubject }),
      max_age: maxAge * NANOS,
      duplicate_window: duplicates * NANOS,
      num_replicas: replicas,
      // The client has enums for these words, whose values it does not export as types.
      storage: storage as never,
      discard: 'old' as never,
      allow_direct: true,
      ...(republish === undefined ? {} : { republish: { src: republish[0], dest: republish[1] } })
    }
    try {
      return await link.make(async () => {
        try {
          const known = await link.jsm.streams.info(name)
          const { num_replicas: copies, storage: made } = known.config
          const isSame = (perSubject === undefined || known.config.max_msgs_per_subject === perSubject) &&
            known.config.max_age === config.max_age && known.config.duplicate_window === config.duplicate_window
          drift.settle(known.config)
          // Another storage would be refused, and what else has changed with it.
          const fixed = { num_replicas: copies, storage: made }
          return isSame ? known : await link.jsm.streams.update(name, { ...config, ...fixed })
        } catch (error) {
          if (!isMissing(error)) throw error
          return await link.jsm.streams.add(config)
        }
      })
    } catch (error) {
      throw isMissing(error) ? away() : error
    }
  }
}
