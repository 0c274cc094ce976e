type Task = () => unknown

/**
 * Runs the tasks of one key one at a time in the order of arrival, and the tasks of different keys concurrently. A lane
 * exists only while it is busy.
 */
export class KeyedQueue {
  readonly #lanes = new Map<string, Task[]>()

  /** @returns false when `most` tasks of the key are waiting already */
  run (key: string, task: Task, most: number): boolean {
    const waiting = this.#lanes.get(key)
    if (waiting !== undefined) {
      if (waiting.length >= most) return false
      waiting.push(task)
      return true
    }
    const result = task()
    if (result instanceof Promise) {
      this.#lanes.set(key, [])
      this.#follow(key, result)
    }
    return true
  }

  #follow (key: string, running: Promise<unknown>): void {
    void running.then(() => {
      const waiting = this.#lanes.get(key)!
      for (;;) {
        const task = waiting.shift()
        if (task === undefined) {
          this.#lanes.delete(key)
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
