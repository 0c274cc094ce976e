type Listener = (detail: never) => unknown
/** How long a listener listens. */
export interface ListenOptions {
  /** Takes the listener off. */
  readonly signal?: AbortSignal
  /** Takes the listener off after its first event. @default false */
  readonly once?: boolean
}

export interface Listeners {
  on (event: string, listener: Listener, options?: ListenOptions): () => void
  /**
   * Calls the listeners of all the names, in order of `names`. The error of one does not keep the others from the
   * event. Whoever leaves the results alone lets it surface as an unhandled rejection, since it is a bug of the
   * application that must not go unnoticed.
   *
   * @returns what each returns
   */
  emit (detail: unknown, ...names: readonly string[]): Array<Promise<unknown>>
  /** Removes every listener, also from the signals that it was given, because no more events follow. */
  end (): void
}

/** Keeps the listeners of events, by the names of these. */
export function listeners (): Listeners {
  const all = new Map<string, Set<Listener>>()
  /** Functions that remove each listener. */
  const offs = new Set<() => void>()
  let isOver = false
  return {
    on (event, listener, { signal, once } = {}) {
      const set = all.get(event) ?? new Set()
      all.set(event, set)
      // Each call gets its own function, so that one listener may be added twice.
      const call: Listener = (detail) => {
        if (once) off()
        return listener(detail)
      }
      const off = (): void => {
        set.delete(call)
        offs.delete(off)
        signal?.removeEventListener('abort', off)
      }
      if (!isOver && !signal?.aborted) {
        set.add(call)
        offs.add(off)
        signal?.addEventListener('abort', off)
      }
      return off
    },
    end () {
      isOver = true
      offs.forEach((off) => { off() })
    },
    // Which detail belongs to which event is known where `on` is typed.
    emit: (detail, ...names) => names.flatMap((name) => [...all.get(name) ?? []])
      .map(async (call) => await call(detail as never))
  }
}
