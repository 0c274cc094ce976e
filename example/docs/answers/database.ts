/** How an answer has ended. */
export type End = 'done' | 'lost' | { readonly code: string, readonly message: string }

export interface Row {
  readonly id: string
  readonly user: string
  readonly question: string
  /** What was saved of the answer. */
  readonly text: string
  /** Absent while the answer grows: then the text is whole up to some time ago. */
  readonly end?: End | undefined
  /** Unix milliseconds. */
  readonly savedAt: number
}

/** Your database. */
export interface Answers {
  /** Adds a row with an empty text and without an end. */
  insert (row: Pick<Row, 'id' | 'user' | 'question'>): Promise<void>
  /** Sets text, end and time. */
  save (id: string, text: string, end?: End): Promise<void>
  /** The newest rows of a user, in order. */
  newest (user: string, count: number): Promise<Row[]>
  /** All rows without an end. */
  open (): Promise<Row[]>
}
