type Task = () => unknown

/**
 * Runs the tasks of one key one at a time in the order of arrival, and the tasks of different keys concurrently. A key
 * is known only while one of its tasks runs.
 */
export class KeyedQueue {
  /** Tasks that wait behind the running one, by key. */
  readonly #waiting = new Map<string, Task[]>()

  /** @returns false when `most` tasks of the key are waiting already */
  run (key: string, task: Task, most: number): boolean {
    const waiting = this.#waiting.get(key)
    if (waiting !== undefined) {
      if (waiting.length >= most) return false
      waiting.push(task)
      return true
    }
    const result = task()
    if (result instanceof Promise) {
      this.#waiting.set(key, [])
      this.#follow(key, result)
    }
    return true
  }

  #follow (key: string, running: Promise<unknown>): void {
    void running.then(() => {
      const waiting = this.#waiting.get(key)!
      for (;;) {
        const task = waiting.shift()
        if (task === undefined) {
          this.#waiting.delete(key)
          return
        }
        const result = task()
        if (result instanceof Promise) {
          this.#follow(key, result)
          return
        }
      }
    })
  }
}
