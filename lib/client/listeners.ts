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
  /** Calls the listeners of all the names, in order of `names`, and resolves when what they return has settled. */
  emit (names: readonly string[], detail: unknown): Promise<unknown>
  /** Takes every listener off, also from the signals that it was given: there is nothing more to hear. */
  end (): void
}

/**
 * What a listener throws harms nobody else; it surfaces as an unhandled rejection, as a bug of the application that
 * nobody may miss.
 */
export function listeners (): Listeners {
  const all = new Map<string, Set<Listener>>()
  /** what takes each listener off */
  const offs = new Set<() => void>()
  let isOver = false
  return {
    on (event, listener, { signal, once } = {}) {
      const set = all.get(event) ?? new Set()
      all.set(event, set)
      // A function of its own, so that one listener may be added twice.
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
    emit: async (names, detail) => {
      const calls = names.flatMap((name) => [...all.get(name) ?? []])
      return await Promise.all(calls.map(async (call) => {
        try {
          await call(detail as never)
        } catch (error) {
          void Promise.reject(error)
        }
      }))
    }
  }
}
