export {
  array, boolean, integer, number, object, oneOf, optional, record, string, union,
  type ArrayRules, type Notes, type NumberRules, type ObjectRules, type OfType,
  type Optional, type StringRules
} from './build.js'
export { defineRoom } from './define-room.js'
export type * from './types.js'
