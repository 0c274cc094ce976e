import { RegExpParser, type AST } from '@eslint-community/regexpp'

/** One bit for each ASCII character and one for all others: two sets that share a bit may accept the same character. */
type Mask = bigint
const OTHER: Mask = 1n << 128n
const ALL: Mask = (1n << 129n) - 1n

/** Largest number of states of an expression for which a bound is computed. */
const MAX_STATES = 256
/**
 * A counted repetition is written out up to so many states. A longer one is treated as a repetition without a bound,
 * which can only overestimate the steps.
 */
const MAX_COPIES = 64
/** Characters for which two ways of a loop may continue side by side. */
const MAX_TOGETHER = 8

/** States that a part begins or ends with, and the number of ways to each. */
type Ends = Map<number, number>
interface Part { readonly first: Ends, readonly last: Ends, /** Ways to match nothing. */ readonly empty: number }

class Unprovable extends Error {}

/**
 * Every way through an expression, with one state for each of its characters. Where it is not exact, it has more ways
 * than the expression.
 */
class Automaton {
  readonly masks: Mask[] = []
  readonly next: Ends[] = []
  /** What the expression looks ahead for. Each way counts as if it passed all of them. */
  readonly ahead: Array<readonly AST.Alternative[]> = []
  readonly #isCaseless: boolean

  constructor (isCaseless: boolean) {
    this.#isCaseless = isCaseless
  }

  choice (alternatives: readonly AST.Alternative[]): Part {
    const parts = alternatives.map(({ elements }) => elements.map((element) => this.#build(element)).reduce<Part>(
      (a, b) => this.#chain(a, b),
      NOTHING
    ))
    return {
      first: union(parts.map(({ first }) => first)),
      last: union(parts.map(({ last }) => last)),
      empty: parts.reduce((sum, { empty }) => sum + empty, 0)
    }
  }

  #build (element: AST.Element): Part {
    switch (element.type) {
      case 'Character':
      case 'CharacterClass':
      case 'CharacterSet': return this.#state(maskOf(element))
      case 'Group':
        if (element.modifiers !== null && element.modifiers !== undefined) throw new Unprovable()
        return this.choice(element.alternatives)
      case 'CapturingGroup': return this.choice(element.alternatives)
      case 'Quantifier': return this.#repetition(element.element, element.min, element.max)
      case 'Assertion':
        if (element.kind === 'lookbehind') throw new Unprovable()
        if (element.kind === 'lookahead') this.ahead.push(element.alternatives)
        return NOTHING
      default: throw new Unprovable()
    }
  }

  #state (mask: Mask): Part {
    const state = this.masks.push(this.#isCaseless ? caseless(mask) : mask) - 1
    if (state >= MAX_STATES) throw new Unprovable()
    this.next.push(new Map())
    const one = new Map([[state, 1]])
    return { first: one, last: one, empty: 0 }
  }

  #connect (last: Ends, first: Ends): void {
    for (const [from, out] of last) {
      for (const [to, into] of first) this.next[from]!.set(to, (this.next[from]!.get(to) ?? 0) + out * into)
    }
  }

  #chain (a: Part, b: Part): Part {
    this.#connect(a.last, b.first)
    return {
      first: union([a.first, times(b.first, a.empty)]),
      last: union([b.last, times(a.last, b.empty)]),
      empty: a.empty * b.empty
    }
  }

  #repetition (element: AST.QuantifiableElement, min: number, max: number): Part {
    const before = this.masks.length
    const one = this.#build(element)
    const size = this.masks.length - before
    const isWritten = Number.isFinite(max) && max * size <= MAX_COPIES
    if (!isWritten) {
      if (one.empty > 0) throw new Unprovable()
      this.#connect(one.last, one.first)
      return { ...one, empty: min === 0 ? 1 : 0 }
    }
    const copies = [one, ...Array.from({ length: Math.max(0, max - 1) }, () => this.#build(element))].slice(0, max)
    const rest = copies.slice(min).reduceRight<Part>((tail, copy) => {
      const both = this.#chain(copy, tail)
      return { ...both, empty: both.empty + 1 }
    }, NOTHING)
    return copies.slice(0, min).reduceRight<Part>((tail, copy) => this.#chain(copy, tail), rest)
  }
}

const NOTHING: Part = { first: new Map(), last: new Map(), empty: 1 }

function times (ends: Ends, ways: number): Ends {
  return ways === 0 ? new Map() : new Map([...ends].map(([state, count]) => [state, count * ways]))
}

function union (all: readonly Ends[]): Ends {
  const sum: Ends = new Map()
  for (const ends of all) for (const [state, count] of ends) sum.set(state, (sum.get(state) ?? 0) + count)
  return sum
}

function maskOf (element: AST.Character | AST.CharacterClass | AST.CharacterSet | AST.CharacterClassElement): Mask {
  switch (element.type) {
    case 'Character': return bit(element.value)
    case 'CharacterClassRange': {
      let mask = element.max.value > 127 ? OTHER : 0n
      for (let code = element.min.value; code <= Math.min(element.max.value, 127); code++) mask |= bit(code)
      return mask
    }
    case 'CharacterClass': {
      if (element.unicodeSets) throw new Unprovable()
      return negated(element.elements.reduce((sum, each) => sum | maskOf(each), 0n), element.negate)
    }
    case 'CharacterSet':
      return element.kind === 'any' || element.kind === 'property'
        ? ALL
        : negated(CLASSES[element.kind], element.negate)
    default: throw new Unprovable()
  }
}

function negated (mask: Mask, isNegated: boolean): Mask { return isNegated ? (ALL & ~mask) | OTHER : mask }

function range (from: string, to: string): Mask {
  let mask = 0n
  for (let code = from.charCodeAt(0); code <= to.charCodeAt(0); code++) mask |= bit(code)
  return mask
}

function bit (code: number): Mask { return code > 127 ? OTHER : 1n << BigInt(code) }

const CLASSES = {
  digit: range('0', '9'),
  space: range('\t', '\r') | bit(0x20) | OTHER,
  word: range('0', '9') | range('A', 'Z') | range('a', 'z') | bit(0x5f)
}

/** A set with its letters in both cases. Without regard to case, some letters of other alphabets equal `k` or `s`. */
function caseless (mask: Mask): Mask {
  const upper = (mask >> 65n) & 0x3ffffffn
  const lower = (mask >> 97n) & 0x3ffffffn
  const both = upper | lower
  const special = bit(0x6b) | bit(0x73) | OTHER
  const all = mask | (both << 65n) | (both << 97n)
  return (all & special) === 0n ? all : caselessOther(all)
}

function caselessOther (mask: Mask): Mask {
  return mask | OTHER | ((mask & OTHER) === 0n ? 0n : bit(0x6b) | bit(0x73) | bit(0x4b) | bit(0x53))
}

function isAnchored (alternatives: readonly AST.Alternative[]): boolean {
  return alternatives.every(({ elements: [first] }) => first !== undefined &&
    (first.type === 'Assertion'
      ? first.kind === 'start'
      : (first.type === 'Group' || first.type === 'CapturingGroup') && isAnchored(first.alternatives)))
}

/** Lists for each state the states that can be reached from it. */
function reachable (next: readonly Ends[]): ReadonlyArray<ReadonlySet<number>> {
  return next.map((_, start) => {
    const seen = new Set<number>()
    const todo = [start]
    for (let state = todo.pop(); state !== undefined; state = todo.pop()) {
      for (const to of next[state]!.keys()) {
        if (seen.has(to)) continue
        seen.add(to)
        todo.push(to)
      }
    }
    return seen
  })
}

type Steps = (length: number) => number

/**
 * Upper bound of the steps that a backtracking matcher takes, as a function of the length of the text. In a loop in
 * which each character can continue in one way only, the steps grow linearly with the text; the ways from one such loop
 * to the next multiply; in any other loop they at least double with each character.
 *
 * @returns `undefined` when no bound can be told: for back references, for what looks behind, and for loops over what
 *   may match nothing
 */
export function stepsOf (source: string, flags: string): Steps | undefined {
  try {
    const { alternatives } = new RegExpParser().parsePattern(source, 0, source.length, {
      unicode: flags.includes('u'),
      unicodeSets: flags.includes('v')
    })
    return stepsOfAll(alternatives, flags.includes('i'), flags.includes('m') || !isAnchored(alternatives))
  } catch (error) {
    if (error instanceof Unprovable || error instanceof SyntaxError) return undefined
    throw error
  }
}

function stepsOfAll (alternatives: readonly AST.Alternative[], isCaseless: boolean, isFree: boolean): Steps {
  const automaton = new Automaton(isCaseless)
  const { first } = automaton.choice(alternatives)
  const { masks, next } = automaton
  // Where the match may begin anywhere, the text before it is a loop too.
  const start = masks.push(isFree ? ALL : 0n) - 1
  next.push(isFree ? union([first, new Map([[start, 1]])]) : first)
  const own = counter(masks, next, start) ?? doubling(masks, next)
  const ahead = automaton.ahead.map((each) => stepsOfAll(each, isCaseless, false))
  return (length) => own(length) * (1 + ahead.reduce((sum, steps) => sum + steps(length), 0))
}

/**
 * Bound for an expression with a loop that has several ways: with each character the steps multiply by the largest
 * number of ways that it can continue.
 */
function doubling (masks: readonly Mask[], next: readonly Ends[]): Steps {
  const most = Math.max(...next.map((ends) => Math.max(0, ...[...ends.keys()].map((to) =>
    [...ends].filter(([other]) => (masks[to]! & masks[other]!) !== 0n).reduce((sum, [, count]) => sum + count, 0)))))
  return (length) => most ** (length + 1)
}

/** @returns undefined where a loop can continue in two ways that stay side by side */
function counter (masks: readonly Mask[], next: readonly Ends[], start: number): Steps | undefined {
  const reach = reachable(next)
  const isLooped = (a: number, b: number): boolean => reach[a]!.has(b) && reach[b]!.has(a)
  const loops = masks.map((_, state) => isLooped(state, state)
    ? masks.map((_, other) => other).filter((other) => isLooped(state, other))
    : [])
  const overlap = (a: number, b: number): boolean => (masks[a]! & masks[b]!) !== 0n
  const pairs = new Map<number, number>()

  /**
   * For how many more characters two ways can continue side by side; `Infinity` when they never part or when they meet
   * again.
   */
  const together = (a: number, b: number): number => {
    if (a === b) return Infinity
    const pair = a * masks.length + b
    const known = pairs.get(pair)
    if (known !== undefined) return known
    // When the search meets this pair again, the two ways run in a circle and never part.
    pairs.set(pair, Infinity)
    let longest = 0
    for (const [to, count] of next[a]!) {
      for (const other of next[b]!.keys()) {
        if (overlap(to, other)) longest = Math.max(longest, count > 1 ? Infinity : 1 + together(to, other))
      }
    }
    pairs.set(pair, longest)
    return longest
  }

  /** How the ways of a loop multiply: the ways that stay within it, and those that leave it while others stay. */
  const waysOf = (loop: readonly number[]): { within: number, isLeft: boolean, late: number } | undefined => {
    let [within, late, isLeft] = [1, 0, false]
    for (const state of loop) {
      const ways = [...next[state]!]
      for (const [index, [to, count]] of ways.entries()) {
        const isInside = loop.includes(to)
        if (isInside && count > 1) return undefined
        for (const [other] of ways.slice(index + 1)) {
          const [isBoth, isOne] = [isInside && loop.includes(other), isInside || loop.includes(other)]
          if (!isOne || !overlap(to, other)) continue
          const longest = together(to, other)
          if (isBoth && longest > MAX_TOGETHER) return undefined
          if (longest > MAX_TOGETHER) isLeft = true
          else {
            within = Math.max(within, ways.length ** (longest + 1))
            if (!isBoth) late = Math.max(late, longest + 1)
          }
        }
      }
    }
    return { within, isLeft, late }
  }

  const ways = new Map<readonly number[], NonNullable<ReturnType<typeof waysOf>>>()
  for (const loop of loops) {
    const found = loop.length === 0 ? undefined : waysOf(loop)
    if (found !== undefined) ways.set(loop, found)
    else if (loop.length > 0) return undefined
  }

  return (length) => {
    const known = new Map<number, number>()
    /** The largest number of steps that one character may begin, among these ways. */
    const most = (ends: ReadonlyArray<readonly [number, number]>): number =>
      Math.max(
        0,
        ...ends.map(([to]) => ends.filter(([other]) => overlap(to, other)).reduce(
          (sum, [other, count]) => sum + count * steps(other),
          0
        ))
      )
    const inLoop = (loop: readonly number[]): number => {
      const out = Math.max(...loop.map((state) => most([...next[state]!].filter(([to]) => !loop.includes(to)))))
      const { within, isLeft, late } = ways.get(loop)!
      return isLeft ? length * within * (1 + out) : length * within + (1 + late) * out
    }
    const steps = (state: number): number => {
      const found = known.get(state)
      if (found !== undefined) return found
      const loop = loops[state]!
      const result = loop.length === 0 ? 1 + most([...next[state]!]) : inLoop(loop)
      for (const each of loop.length === 0 ? [state] : loop) known.set(each, result)
      return result
    }
    return steps(start)
  }
}
