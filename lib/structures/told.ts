/**
 * A promise whose rejection is told where nobody has asked for it, instead of ending the process: most calls that send
 * something are not awaited, and a broker that blinks must not take a node with it.
 */
export class Told<T> extends Promise<T> {
  #isAwaited = false

  /** What follows from it is a promise like every other. */
  static override get [Symbol.species] (): PromiseConstructor { return Promise }

  /** @param tell is called once, in a later turn of the event loop, when nobody has awaited the promise by then */
  static of<T> (work: T | Promise<T>, tell: (error: unknown) => void): Promise<T> {
    const told = new Told<T>((resolve) => { resolve(work) })
    Promise.prototype.then.call(told, undefined, (error: unknown) => {
      setImmediate(() => { if (!told.#isAwaited) tell(error) })
    })
    return told
  }

  override then<A = T, B = never> (
    onFulfilled?: ((value: T) => A | PromiseLike<A>) | null,
    onRejected?: ((reason: unknown) => B | PromiseLike<B>) | null
  ): Promise<A | B> {
    this.#isAwaited = true
    return super.then(onFulfilled, onRejected)
  }
}
