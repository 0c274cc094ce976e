const END = '\r\n\r\n'
const ANSWER_SHOWN = 300

export interface Head {
  /** bytes of the body; undefined where the answer does not say */
  readonly length: number | undefined
  /** where the body begins */
  readonly end: number
}

/** The head of an HTTP answer, or nothing while bytes are missing. @throws Error for another status than 200 */
export function readHead (bytes: Buffer): Head | undefined {
  const at = bytes.indexOf(END)
  if (at === -1) return undefined
  const head = bytes.toString('latin1', 0, at)
  const end = at + END.length
  if (!head.startsWith('HTTP/1.1 200')) {
    throw new Error(`refused: ${head.split('\r\n')[0]!} ${bytes.toString('utf8', end).slice(0, ANSWER_SHOWN)}`)
  }
  const length = /^content-length: *(\d+)/im.exec(head)?.[1]
  return { length: length === undefined ? undefined : Number(length), end }
}
