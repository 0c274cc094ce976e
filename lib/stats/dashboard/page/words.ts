const NUMBER = new Intl.NumberFormat('en')
const UNITS = ['B', 'KiB', 'MiB', 'GiB', 'TiB'] as const
const SPANS = [[86_400, 'd'], [3_600, 'h'], [60, 'min'], [1, 's']] as const

/** Shown where there is no figure yet. */
export const NONE = '\u2013'

/** Keeps a figure and its unit on one line. */
const TIED = '\u00a0'

/** Writes a number with separators of thousands. */
export function counted (n: number): string { return NUMBER.format(n) }

/** Writes bytes in the largest unit in which they are at least one. */
export function scaled (bytes: number): string {
  let left = bytes
  let unit = 0
  while (left >= 1024 && unit < UNITS.length - 1) {
    left /= 1024
    unit++
  }
  return `${unit === 0 ? left : left.toFixed(1)} ${UNITS[unit]}`
}

/** Writes milliseconds in words, with the two largest units that are not zero. */
export function lasting (ms: number): string {
  let left = Math.floor(ms / 1_000)
  const said: string[] = []
  for (const [size, name] of SPANS) {
    const n = Math.floor(left / size)
    left -= n * size
    if (n > 0 && said.length < 2) said.push(`${n}${TIED}${name}`)
  }
  return said.join(TIED) || `0${TIED}s`
}
