import type { StreamConfig } from '@nats-io/jetstream'
import type { NatsLink } from './link.js'

export interface DriftOptions {
  readonly link: Pick<NatsLink, 'attempt' | 'jsm'>
  /** Copies of each stream and bucket that are wanted. */
  readonly replicas: number
  readonly storage: 'file' | 'memory'
  readonly log: { warn (object: object, message: string): void }
}

type Made = Pick<StreamConfig, 'name' | 'num_replicas' | 'storage'>

/**
 * Settles what streams and buckets were made with before an option was changed. Those with fewer copies get as many as
 * are wanted by now. It takes none away, since an operator may have added them. While the server makes the copies of a
 * stream, a second or so, that cannot be used: so it is done one stream after the other, and not before the node has
 * started. No server moves a stream to another storage, so that is told.
 */
export class Drift {
  readonly #options: DriftOptions
  readonly #told = new Set<'copies' | 'storage'>()
  #start: () => void = () => {}
  /** Resolves when the node has started and what was asked for before is done. */
  #done = new Promise<void>((resolve) => { this.#start = resolve })

  constructor (options: DriftOptions) {
    this.#options = options
  }

  /** Called when the node has started. */
  start (): void { this.#start() }

  /** Looks how a stream was made, and settles it; nobody waits for that. */
  look (name: string): void {
    const { link } = this.#options
    link.attempt(() => link.jsm.streams.info(name)).then(({ config }) => { this.settle(config) }, () => {})
  }

  settle ({ name, num_replicas: copies, storage: made }: Made): void {
    const { replicas, storage } = this.#options
    if (copies < replicas) this.#done = this.#done.then(() => this.#raise(name, copies))
    // The client has an enum for these words, whose values it does not export as types.
    if ((made as string) === storage) return
    this.#tell(
      'storage',
      { stream: name, made, storage },
      'NATS moves no stream to another storage, so nats({ storage }) has no effect on those that were made with another one: set the option back, or stop all nodes, delete the streams of the prefix with what they keep ("nats stream rm") and start again'
    )
  }

  /** Never rejects. */
  async #raise (name: string, copies: number): Promise<void> {
    const { link, replicas } = this.#options
    try {
      await link.attempt(() => link.jsm.streams.update(name, { num_replicas: replicas }))
    } catch (err) {
      this.#tell(
        'copies',
        { err, stream: name, copies, replicas },
        'NATS gives its streams no more copies, although nats({ replicas }) asks for more than they were made with: start as many servers of the cluster, allow $JS.API.STREAM.UPDATE.>, and restart this node, or run "nats stream update --replicas" for each stream of the prefix'
      )
    }
  }

  /** Tells of each kind once, whatever the number of streams. */
  #tell (kind: 'copies' | 'storage', about: object, message: string): void {
    if (this.#told.has(kind)) return
    this.#told.add(kind)
    this.#options.log.warn(about, message)
  }
}
