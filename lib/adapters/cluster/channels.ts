import cluster, { type Worker as ClusterWorker } from 'node:cluster'
import { isMainThread, parentPort, type Worker as Thread } from 'node:worker_threads'

/** One end of a channel between a worker and its primary: messages arrive in order, each once, while both live. */
export interface Channel {
  post (message: unknown): void
  /** @param ended called when the other end is gone; nothing arrives after that */
  listen (message: (message: unknown) => void, ended: () => void): void
  /** Stops to listen; the channel itself is left to whoever made it. */
  close (): void
}

/** The primary's end of the channel of one worker. */
export interface WorkerChannel {
  post (message: unknown): void
  /** Ends the worker, which is so far behind that it cannot be served. */
  end (): void
}

/** The channel of this worker to its primary; `undefined` where this process or thread is no worker. */
export function channelToPrimary (): Channel | undefined {
  if (!isMainThread && parentPort !== null) return threadChannel(parentPort)
  return cluster.isWorker && process.send !== undefined ? processChannel() : undefined
}

function processChannel (): Channel {
  let off = (): void => {}
  return {
    // What cannot be sent is told by the end of the channel, and by nobody else.
    post: (message) => { process.send!(message, undefined, undefined, () => {}) },
    listen (message, ended) {
      process.on('message', message)
      process.on('disconnect', ended)
      off = () => { process.off('message', message).off('disconnect', ended) }
    },
    close: () => { off() }
  }
}

function threadChannel (port: NonNullable<typeof parentPort>): Channel {
  let off = (): void => {}
  return {
    post: (message) => { port.postMessage(message) },
    listen (message, ended) {
      port.on('message', message)
      port.on('close', ended)
      off = () => { port.off('message', message).off('close', ended) }
    },
    close: () => { off() }
  }
}

/** What the primary is told of its workers. */
export interface Listener {
  /** A message has come. */
  message (worker: object, channel: WorkerChannel, message: unknown): void
  /** A worker is gone, however it ended. */
  gone (worker: object): void
}

/**
 * Listens to all workers of this process, those of `node:cluster` and threads, that there are or will be.
 *
 * @returns ends it
 */
export function listenToWorkers (listener: Listener): () => void {
  const offs = [listenToCluster(listener), listenToThreads(listener)]
  return () => { for (const off of offs) off() }
}

function listenToCluster ({ message, gone }: Listener): () => void {
  const heard = (worker: ClusterWorker, given: unknown): void => {
    message(worker, {
      post: (answer) => { if (worker.isConnected()) worker.send(answer as object, () => {}) },
      // One that stands still would not hear anything softer.
      end: () => { worker.process.kill('SIGKILL') }
    }, given)
  }
  cluster.on('message', heard)
  cluster.on('disconnect', gone)
  cluster.on('exit', gone)
  return () => { cluster.off('message', heard).off('disconnect', gone).off('exit', gone) }
}

function listenToThreads ({ message, gone }: Listener): () => void {
  const known = new Map<Thread, () => void>()
  const started = (thread: Thread): void => {
    const heard = (given: unknown): void => {
      message(thread, {
        post: (answer) => { thread.postMessage(answer) },
        end: () => { void thread.terminate() }
      }, given)
    }
    const ended = (): void => {
      known.delete(thread)
      gone(thread)
    }
    thread.on('message', heard)
    thread.on('exit', ended)
    known.set(thread, () => { thread.off('message', heard).off('exit', ended) })
  }
  process.on('worker', started)
  return () => {
    process.off('worker', started)
    for (const off of known.values()) off()
  }
}

/** Two ends inside one process, for an application that runs without workers. */
export function localChannel (
  join: (channel: WorkerChannel) => { message (given: unknown): void, gone (): void }
): Channel {
  let listening = (_message: unknown): void => {}
  let ended = (): void => {}
  let other: ReturnType<typeof join> | undefined
  return {
    post: (message) => { queueMicrotask(() => { other?.message(message) }) },
    listen (message, end) {
      listening = message
      ended = end
      other = join({
        post: (answer) => { queueMicrotask(() => { listening(answer) }) },
        end: () => { ended() }
      })
    },
    close () {
      listening = () => {}
      // Behind what was posted.
      queueMicrotask(() => {
        other?.gone()
        other = undefined
      })
    }
  }
}
