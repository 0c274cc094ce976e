import { Type } from '@sinclair/typebox'
import { defineRoom } from '../../lib/index.js'

export const SECRET = 'chaos of streams'

export const stories = defineRoom('stories/:id', {
  events: {
    told: { data: Type.Object({ id: Type.String(), text: Type.String() }), delivery: 'append', key: 'id', append: 'text' }
  }
})

const WORDS = ['the', ' of', ' wäre', ' "quoted"', ' 漢字', ' 😀', '\n\n', ' and', ' then', ',']

/** The token of a text at a place: five characters on average, as a model's. */
export function tokenAt (key: string, index: number): string { return `${WORDS[index % WORDS.length]!}${index % 7 === 0 ? key : ''}` }

export function wholeOf (key: string, tokens: number): string {
  return Array.from({ length: tokens }, (_, index) => tokenAt(key, index)).join('')
}
