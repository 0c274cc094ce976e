export { defineRoom } from './define-room.js'
export type * from './types.js'
