import { textOf } from './redact.js'

/** Says why what the application has given cannot be read: a getter may throw, and what it throws may be anything. */
export function whyUnreadable (error: unknown): string {
  return error instanceof Error ? error.message : textOf(error)
}

/** Returns why a property of an object cannot be read; `undefined` where all can. */
export function unreadable (value: object): string | undefined {
  try {
    Object.values(value)
    return undefined
  } catch (error) {
    return whyUnreadable(error)
  }
}
