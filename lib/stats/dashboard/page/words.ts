const NUMBER = new Intl.NumberFormat('en')
const RATE = new Intl.NumberFormat('en', { maximumFractionDigits: 1 })
const TIME = new Intl.DateTimeFormat('en', { hour: '2-digit', minute: '2-digit', second: '2-digit', hourCycle: 'h23' })
const MOMENT = new Intl.DateTimeFormat('en', {
  year: 'numeric', month: 'short', day: 'numeric', hour: '2-digit', minute: '2-digit', second: '2-digit', hourCycle: 'h23'
})
const UNITS = ['B', 'KiB', 'MiB', 'GiB', 'TiB'] as const
const SPANS = [[86_400, 'd'], [3_600, 'h'], [60, 'min'], [1, 's']] as const

/** Shown where there is no figure. */
export const NONE = '\u2013'

/** Writes a figure, where there is one. */
const orNone = (write: (n: number) => string) => (n: number): string => Number.isFinite(n) ? write(n) : NONE

/** Keeps a figure and its unit on one line. */
const TIED = '\u00a0'

/** Writes a number with separators of thousands. */
export const counted = orNone((n) => NUMBER.format(n))

/** Writes how often something happens in a second: small numbers with one decimal. */
export const rated = orNone((n) => n >= 10 ? NUMBER.format(Math.round(n)) : RATE.format(n))

/** Writes a number with its word, in the plural unless there is one. */
export function many (n: number, word: string): string { return `${counted(n)} ${word}${n === 1 ? '' : 's'}` }

/** Writes bytes in the largest unit in which they are at least one. */
export const scaled = orNone((bytes) => {
  let left = bytes
  let unit = 0
  while (left >= 1024 && unit < UNITS.length - 1) {
    left /= 1024
    unit++
  }
  return `${unit === 0 ? Math.round(left) : left.toFixed(1)}${TIED}${UNITS[unit]}`
})

/** Writes bytes for the mark of an axis, which is round. */
export function marked (bytes: number): string { return scaled(bytes).replace('.0', '') }

/** Writes a short time with its unit, in a column of such times with as many decimals. */
export const brief = orNone((ms) => `${ms < 100 ? ms.toFixed(1) : NUMBER.format(Math.round(ms))}${TIED}ms`)

/** Writes milliseconds in words, with the two largest units that are not zero. */
export const lasting = orNone((ms) => {
  let left = Math.floor(ms / 1_000)
  const said: string[] = []
  for (const [size, name] of SPANS) {
    const n = Math.floor(left / size)
    left -= n * size
    if (n > 0 && said.length < 2) said.push(`${n}${TIED}${name}`)
  }
  return said.join(TIED) || `0${TIED}s`
})

/** Writes the time of day. */
export function timed (at: Date): string { return TIME.format(at) }

/** Writes the time of day of a moment, to the millisecond. */
export function momentary (unix: number): string {
  const at = new Date(unix)
  return `${TIME.format(at)}.${String(at.getMilliseconds()).padStart(3, '0')}`
}

/** Writes a moment with its day. */
export function dated (unix: number): string { return MOMENT.format(new Date(unix)) }
