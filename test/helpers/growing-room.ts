import { Type } from '@sinclair/typebox'
import { defineRoom } from '../../lib/contract/index.js'

/** A room in which answers grow. */
export const ai = defineRoom('ai/:id', {
  events: {
    answer: {
      data: Type.Object({ id: Type.String(), text: Type.String() }),
      delivery: 'append',
      key: 'id',
      append: 'text'
    }
  }
})
