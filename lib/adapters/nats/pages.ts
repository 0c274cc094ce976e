/** One message of a stream. */
export interface Kept {
  readonly subject: string
  readonly seq: number
  /** Unix time in milliseconds, by the server's clock. */
  readonly time: number
  readonly text: string
}

/** How a stream is read message by message, as found so far: one page after another goes on with it. */
export interface Pace {
  /** Requests under way at a time. */
  width: number
  /** Numbers from one message of the subject to the next. */
  apart: number
}

/** The part of a stream to read. */
export interface Part {
  readonly stream: string
  readonly subject: string
  /** The first number that is read. */
  readonly start: number
  /** Messages at most. */
  readonly most: number
  /** Bytes after which it ends, with one message at least; absent for no bound. */
  readonly bytes?: number | undefined
  /** Milliseconds after which it ends as if by the bytes, where messages are read one by one; absent for no bound. */
  readonly patience?: number | undefined
  /** That of the pages before it; absent for the first. */
  readonly pace?: Pace | undefined
}

/** What was read of it. */
export interface Page {
  messages: Kept[]
  /** Whether nothing was left out behind the last message. */
  isAll: boolean
  /** Whether the bytes or the patience ended it. */
  isPart: boolean
}
