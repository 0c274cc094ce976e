import t from 'tap'
import { jsonKeyFault } from '../../lib/protocol/json-key.js'

const having = (k: object, more: object = {}): object => ({ type: 'object', properties: { k }, required: ['k'], ...more })
const text = { type: 'string' }
const other = { properties: { kind: { const: 'a' } } }

const KEPT: Record<string, object> = {
  'the object itself': having(text),
  'the object itself, with alternatives of what else it has': having(text, { anyOf: [other, { properties: { kind: {} } }] }),
  'the object itself, with a part of what else it has': having(text, { allOf: [other] }),
  'a part, where the whole requires it': { required: ['k'], allOf: [{ type: 'object', properties: { k: text } }] },
  'a part, where another part requires it': { allOf: [{ properties: { k: text } }, { required: ['k'] }] },
  'every alternative': { anyOf: [having(text), having({ type: 'integer' })] },
  'what a part refers to, perhaps': { allOf: [{ $ref: '#/$defs/base' }, other] },
  'an object that may be null': having(text, { type: ['object', 'null'] }),
  'words and numbers': having({ enum: ['a', 1] })
}
const FAULTS: Record<string, [schema: object, says: RegExp]> = {
  'a schema without it': [having(text, { properties: {} }), /does not have/],
  'alternatives of which one lacks it': [{ anyOf: [having(text), { type: 'object', ...other }] }, /does not have/],
  'alternatives that say nothing of it, within an object without it': [
    { type: 'object', ...other, anyOf: [{ required: ['kind'] }, { required: ['more'] }] },
    /does not have/
  ],
  'one that nothing requires': [having(text, { required: [] }), /optional/],
  'no object': [{ type: ['string', 'null'] }, /no object/],
  'a list': [having({ type: 'array' }), /neither a string nor a number/],
  'a word that may be null': [having({ type: ['string', 'null'] }), /neither a string nor a number/],
  'a constant that is neither': [having({ const: true }), /neither a string nor a number/],
  'a value that is neither': [having({ enum: ['a', null] }), /neither a string nor a number/]
}

for (const [name, schema] of Object.entries(KEPT)) {
  t.test(`the newest values are kept by a property of ${name}`, async (t) => {
    t.equal(jsonKeyFault(schema, 'k'), undefined)
  })
}
for (const [name, [schema, says]] of Object.entries(FAULTS)) {
  t.test(`the newest values are not kept by the property of ${name}`, async (t) => {
    t.match(jsonKeyFault(schema, 'k'), says)
  })
}
