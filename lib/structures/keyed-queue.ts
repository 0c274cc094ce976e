type Task = () => unknown

/** What runs under one key, and what waits behind it. */
interface Line {
  running: number
  /** Made for the first task that waits. */
  tasks?: Task[]
}

/**
 * Runs the tasks of one key one at a time in the order of arrival, and the tasks of different keys concurrently. A key
 * is known only while one of its tasks runs. What a task returns never rejects.
 */
export class KeyedQueue {
  /** What runs and waits, by key. */
  readonly #waiting = new Map<string, Line>()
  /** Key of the task that has begun and is not noted yet: most tasks end at once, and none comes from within them. */
  #beginning: string | undefined

  /** @returns false when `most` tasks of the key are waiting already */
  run (key: string, task: Task, most: number): boolean {
    const line = this.#lineOf(key)
    if (line !== undefined) {
      line.tasks ??= []
      if (line.tasks.length >= most) return false
      line.tasks.push(task)
      return true
    }
    this.#beginning = key
    let running: unknown
    try {
      running = task()
    } finally {
      const isNoted = this.#beginning !== key
      this.#beginning = undefined
      if (running instanceof Promise) {
        if (!isNoted) this.#waiting.set(key, { running: 1 })
        this.#follow(key, running)
      } else if (isNoted) this.#ended(key)
    }
    return true
  }

  /**
   * Lets the tasks that come from now on wait for something that runs beside those of the key.
   *
   * @param running never rejects
   */
  hold (key: string, running: Promise<unknown>): void {
    const line = this.#lineOf(key)
    if (line === undefined) this.#waiting.set(key, { running: 1 })
    else line.running++
    this.#follow(key, running)
  }

  /** Notes the task from within which this is called, so that what it begins under its own key comes behind it. */
  #lineOf (key: string): Line | undefined {
    if (this.#beginning !== undefined) {
      this.#waiting.set(this.#beginning, { running: 1 })
      this.#beginning = undefined
    }
    return this.#waiting.get(key)
  }

  #follow (key: string, running: Promise<unknown>): void { void running.then(() => { this.#ended(key) }) }

  #ended (key: string): void {
    const line = this.#waiting.get(key)!
    line.running--
    while (line.running === 0) {
      const task = line.tasks?.shift()
      if (task === undefined) {
        this.#waiting.delete(key)
        return
      }
      line.running++
      let running: unknown
      try {
        running = task()
      } catch (error) {
        this.#ended(key)
        throw error
      }
      if (running instanceof Promise) this.#follow(key, running)
      else line.running--
    }
  }
}
