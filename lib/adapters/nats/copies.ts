import type { StreamConfig } from '@nats-io/jetstream'
import type { NatsLink } from './link.js'

export interface CopiesOptions {
  readonly link: Pick<NatsLink, 'attempt' | 'jsm'>
  /** Copies of each stream and bucket that are wanted. */
  readonly replicas: number
  readonly log: { warn (object: object, message: string): void }
}

/**
 * Gives streams and buckets that were made with fewer copies as many as are wanted by now. It takes none away, since an
 * operator may have added them. While the server makes the copies of a stream, a second or so, that cannot be used: so
 * it is done one stream after the other, and not before the node has started.
 */
export class Copies {
  readonly #options: CopiesOptions
  #isTold = false
  #start: () => void = () => {}
  /** Resolves when the node has started and what was asked for before is done. */
  #done = new Promise<void>((resolve) => { this.#start = resolve })

  constructor (options: CopiesOptions) {
    this.#options = options
  }

  /** Called when the node has started. */
  start (): void { this.#start() }

  /** Looks how many copies a stream has, and gives it more; nobody waits for that. */
  look (name: string): void {
    const { link, replicas } = this.#options
    if (replicas === 1) return
    link.attempt(() => link.jsm.streams.info(name)).then(({ config }) => { this.raise(config) }, () => {})
  }

  raise ({ name, num_replicas: copies }: Pick<StreamConfig, 'name' | 'num_replicas'>): void {
    if (copies < this.#options.replicas) this.#done = this.#done.then(() => this.#raise(name, copies))
  }

  /** Never rejects. */
  async #raise (name: string, copies: number): Promise<void> {
    const { link, replicas } = this.#options
    try {
      await link.attempt(() => link.jsm.streams.update(name, { num_replicas: replicas }))
    } catch (error) {
      this.#tell(error, name, copies)
    }
  }

  #tell (err: unknown, stream: string, copies: number): void {
    if (this.#isTold) return
    this.#isTold = true
    const { replicas, log } = this.#options
    log.warn(
      { err, stream, copies, replicas },
      'NATS gives its streams no more copies, although nats({ replicas }) asks for more than they were made with: start as many servers of the cluster, allow $JS.API.STREAM.UPDATE.>, and restart this node, or run "nats stream update --replicas" for each stream of the prefix'
    )
  }
}
