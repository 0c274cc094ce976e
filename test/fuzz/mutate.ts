import type { Random } from '../helpers/random.js'

/** Strings that have broken parsers, keys and paths before. */
export const STRINGS: readonly string[] = [
  '', ' ', '.', '..', '/', '//', ':', '%', '%00', '%2e%2e', '%ff', '\u0000', '\n', '\r\n', '\ud800', '\udfff\ud800', '\uffff', '\u{10ffff}', 'e\u0301',
  '__proto__', 'constructor', 'prototype', 'toString', 'hasOwnProperty', 'null', 'undefined', 'NaN', '-0', '1e400', '0x10', 'true', '[]', '{}',
  'a:b', 'a b', 'a\nb', 'a\u0000b', '@all', '@user/honest-0', '@user/mallory-1', 'attack/1', 'attack/2', 'honest/1', 'nowhere', 'stats', 'ticket',
  'x'.repeat(255), 'x'.repeat(256), 'x'.repeat(5_000), '\u20ac'.repeat(100), '%20'.repeat(90), '$where', '<script>',
  '\u202e', '\u2028'
]

const NUMBERS: readonly number[] = [
  0, -0, 1, -1, 0.5, 255, 256, 65_535, 65_536, 2 ** 31, 2 ** 32, 2 ** 53 - 1, 2 ** 53, -(2 ** 53),
  1e21, 1e300, 5e-324, Number.MAX_VALUE
]

/** Any JSON value, of at most `depth` levels. */
export function anyValue (random: Random, depth = 3): unknown {
  switch (random.int(depth > 0 ? 8 : 5)) {
    case 0: return random.pick(STRINGS)
    case 1: return random.pick(NUMBERS)
    case 2: return random.pick([null, true, false])
    case 3: return random.bytes(random.int(20)).toString('latin1')
    case 4: return random.next() * 1e6
    case 5: return Array.from({ length: random.int(4) }, () => anyValue(random, depth - 1))
    case 6: return Array.from({ length: random.int(300) }, (_value, index) => index)
    default: return anyObject(random, depth)
  }
}

function anyObject (random: Random, depth: number): object {
  const entries = Array.from(
    { length: random.int(4) },
    () => [random.pick(STRINGS), anyValue(random, depth - 1)] as const
  )
  return Object.fromEntries(entries)
}

/** The same value with one place of it changed, left out, doubled or put elsewhere. */
export function mutateValue (random: Random, value: unknown): unknown {
  if (typeof value !== 'object' || value === null || random.chance(0.1)) return anyValue(random)
  if (Array.isArray(value)) {
    if (value.length === 0) return [anyValue(random)]
    const at = random.int(value.length)
    return value.map((each: unknown, index) => index === at ? mutateValue(random, each) : each)
  }
  const entries = Object.entries(value)
  if (entries.length === 0) return anyObject(random, 2)
  const at = random.int(entries.length)
  const [key, inner] = entries[at]!
  switch (random.int(5)) {
    case 0: entries.splice(at, 1); break
    case 1: entries[at] = [random.pick(STRINGS), inner]; break
    case 2: entries.push([random.pick(STRINGS), anyValue(random)]); break
    default: entries[at] = [key, mutateValue(random, inner)]
  }
  return Object.fromEntries(entries)
}

/** The same bytes with some of them flipped, cut out, doubled or replaced. */
export function mutateBytes (random: Random, bytes: Buffer): Buffer {
  let mutated = Buffer.from(bytes)
  for (let count = 1 + random.int(4); count > 0; count--) {
    const at = random.int(mutated.length + 1)
    const rest = mutated.subarray(at + random.int(8))
    switch (random.int(5)) {
      case 0: if (at < mutated.length) mutated[at]! ^= 1 << random.int(8); break
      case 1: mutated = Buffer.concat([mutated.subarray(0, at), rest]); break
      case 2: mutated = Buffer.concat([mutated.subarray(0, at), random.bytes(random.int(12)), rest]); break
      case 3: mutated = Buffer.concat([mutated.subarray(0, at), Buffer.from(random.pick(STRINGS)), rest]); break
      default: mutated = Buffer.concat([mutated.subarray(0, at), mutated.subarray(random.int(at + 1), at), rest])
    }
  }
  return mutated
}

/** A deep text that is JSON, or would be. */
function deep (random: Random): string {
  const levels = random.pick([31, 32, 33, 5_000])
  return `${'['.repeat(levels)}${random.chance(0.5) ? ']'.repeat(levels) : ''}`
}

/** The text of a frame made from valid ones. */
export function anyFrame (random: Random, seeds: readonly object[]): Buffer {
  let frame: unknown = random.pick(seeds)
  if (random.chance(0.03)) return Buffer.from(deep(random))
  for (let count = random.int(4); count > 0; count--) frame = mutateValue(random, frame)
  const text = Buffer.from(JSON.stringify(frame) ?? '')
  return random.chance(0.2) ? mutateBytes(random, text) : text
}
