import type { TSchema } from '@sinclair/typebox'
import { Value } from '@sinclair/typebox/value'

interface Spelled { readonly properties: Readonly<Record<string, TSchema>> }

/** Says what is wrong in the words of the options: the path, and for an unknown key the one that was probably meant. */
export function explain (rules: TSchema, value: unknown, name: string): string | undefined {
  const first = Value.Errors(rules, value).First()
  if (first === undefined) return undefined
  const path = first.path.slice(1).replaceAll('/', '.')
  if (!first.message.startsWith('Unexpected property')) {
    return `${name}${path === '' ? '' : `.${path}`}: ${first.message.toLowerCase()}, got ${show(first.value)}`
  }
  const parts = path.split('.')
  const key = parts.pop()!
  const parent = parts.reduce<unknown>(
    (at, part) => (at as Spelled | undefined)?.properties?.[part],
    rules
  ) as Spelled | undefined
  const known = Object.keys(parent?.properties ?? {})
  const near = known.find((each) => distance(each, key) <= 2)
  return `${name}.${path} is no option${near === undefined ? `; known here: ${known.join(', ')}` : `; did you mean "${near}"?`}`
}

export function show (value: unknown): string {
  if (typeof value === 'function') return 'a function'
  return JSON.stringify(value) ?? 'undefined'
}

function distance (a: string, b: string): number {
  const row = Array.from({ length: b.length + 1 }, (_, i) => i)
  for (let i = 1; i <= a.length; i++) {
    let diagonal = row[0]!
    row[0] = i
    for (let j = 1; j <= b.length; j++) {
      const above = row[j]!
      row[j] = Math.min(above + 1, row[j - 1]! + 1, diagonal + (a[i - 1] === b[j - 1] ? 0 : 1))
      diagonal = above
    }
  }
  return row[b.length]!
}
