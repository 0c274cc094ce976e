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

interface Entry {
  readonly name: string
  call (detail: unknown): Promise<unknown>
  off (): void
}

/** Keeps the listeners of events, by the names of these. */
export function listeners (): Listeners {
  const all = new Set<Entry>()
  let isOver = false
  return {
    on (name, listener, { signal, once } = {}) {
      const off = (): void => {
        all.delete(entry)
        signal?.removeEventListener('abort', off)
      }
      // Each call gets its own entry, so that one listener may be added twice.
      const entry: Entry = {
        name,
        off,
        async call (detail) {
          if (once) off()
          // Which detail belongs to which event is known where `on` is typed.
          return await listener(detail as never)
        }
      }
      if (!isOver && !signal?.aborted) {
        all.add(entry)
        signal?.addEventListener('abort', off)
      }
      return off
    },
    end () {
      isOver = true
      all.forEach(({ off }) => { off() })
    },
    emit: (detail, ...names) => names.flatMap((name) =>
      [...all].flatMap((each) => each.name === name && all.has(each) ? each.call(detail) : []))
  }
}
