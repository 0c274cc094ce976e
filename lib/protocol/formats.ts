import { fullFormats } from 'ajv-formats/dist/formats.js'

export interface Format {
  /** Longer texts are refused before the format is checked. */
  readonly maxLength: number
  /**
   * Steps that its expression may take on a text of that length, where they are more than a few passes over the text.
   */
  readonly steps: ((length: number) => number) | undefined
  readonly test: (text: string) => boolean
}

/**
 * Longer texts do not have the format, and its expression does not run on them. Only formats whose expression is shown
 * to be cheap may be longer.
 */
const LONGEST: Readonly<Record<string, number>> = {
  byte: Infinity,
  email: 320,
  uri: 2_048,
  'uri-reference': 2_048,
  url: 1_024,
  'uri-template': 2_048,
  'json-pointer': 2_048,
  'json-pointer-uri-fragment': 2_048,
  'relative-json-pointer': 2_048,
  regex: 1_024,
  hostname: 253
}
/** Measured on the worst texts that are known. */
const STEPS: Readonly<Record<string, Format['steps']>> = { url: (length) => length * length / 4 }
/** Longest text of the other formats, which are dates, addresses and numbers. */
const SHORT = 64

/** The formats that Fastify's own routes know, without those that check nothing of a text. */
export const FORMATS: ReadonlyMap<string, Format> = new Map(Object.entries(fullFormats).flatMap(([name, format]) => {
  const test = testOf(format)
  return test === undefined ? [] : [[name, { maxLength: LONGEST[name] ?? SHORT, steps: STEPS[name], test }] as const]
}))

/** Formats of numbers, and formats that accept every text. */
export const UNCHECKED: ReadonlySet<string> = new Set(Object.keys(fullFormats).filter((name) => !FORMATS.has(name)))

function testOf (format: unknown): Format['test'] | undefined {
  if (format instanceof RegExp) return (text) => format.test(text)
  if (typeof format === 'function') return (text) => Boolean(format(text))
  const { validate, type } = format as { validate?: unknown, type?: unknown }
  return validate === undefined || type === 'number' ? undefined : testOf(validate)
}
