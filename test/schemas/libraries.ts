import { Type } from '@sinclair/typebox'
import { type } from 'arktype'
import Type1 from 'typebox'
import * as v from 'valibot'
import * as z from 'zod'
import { integer, number, object, oneOf, optional, string } from '../../lib/contract/index.js'
import type { SchemaLike } from '../../lib/index.js'

/** The same schemas in each of the libraries: a line of a chat with its author. */
export interface Library {
  readonly line: SchemaLike
  /** `{ n: number }`. */
  readonly count: SchemaLike
  /** A string of at most five letters that begins with an a, where the bound is this library's to hold. */
  readonly short?: SchemaLike
  /** The same of any length. */
  readonly long?: SchemaLike
  /** Takes `{ n: '7' }` and makes of it `{ n: 7, more: true }`. */
  readonly changing?: SchemaLike
}

export const LIBRARIES: Record<string, Library> = {
  '@sinclair/typebox': {
    line: Type.Object({ text: Type.String(), by: Type.Object({ 'first/name': Type.String() }) }),
    count: Type.Object({ n: Type.Number({ default: 1 }) }),
    short: Type.String({ pattern: '^a', maxLength: 5 }),
    long: Type.String({ pattern: '^a' })
  },
  typebox: {
    line: Type1.Object({ text: Type1.String(), by: Type1.Object({ 'first/name': Type1.String() }) }),
    count: Type1.Object({ n: Type1.Number({ default: 1 }) }),
    short: Type1.String({ pattern: '^a', maxLength: 5 }),
    long: Type1.String({ pattern: '^a' })
  },
  'JSON Schema': {
    line: {
      type: 'object',
      properties: {
        text: { type: 'string' },
        by: { type: 'object', properties: { 'first/name': { type: 'string' } }, required: ['first/name'] }
      },
      required: ['text', 'by']
    },
    count: { type: 'object', properties: { n: { type: 'number', default: 1 } }, required: ['n'] } as SchemaLike,
    short: { type: 'string', pattern: '^a', maxLength: 5 } as SchemaLike,
    long: { type: 'string', pattern: '^a' } as SchemaLike
  },
  'light builders': {
    line: object({ text: string(), by: object({ 'first/name': string(), size: optional(integer()) }) }),
    count: object({ n: number(), more: optional(oneOf('a', 'b')) }),
    short: string({ pattern: '^a', maxLength: 5 })
  },
  zod: {
    line: z.object({ text: z.string(), by: z.object({ 'first/name': z.string() }) }),
    count: z.object({ n: z.number() }),
    changing: z.object({ n: z.coerce.number(), more: z.boolean().default(true) })
  },
  valibot: {
    line: v.object({ text: v.string(), by: v.object({ 'first/name': v.string() }) }),
    count: v.object({ n: v.number() }),
    changing: v.object({ n: v.pipe(v.string(), v.transform(Number)), more: v.optional(v.boolean(), true) })
  },
  arktype: {
    line: type({ text: 'string', by: { 'first/name': 'string' } }),
    count: type({ n: 'number' }),
    changing: type({ n: 'string.numeric.parse', more: 'boolean = true' })
  }
}
