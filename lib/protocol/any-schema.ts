import type { TSchema } from '@sinclair/typebox'
import { familyOf } from '../contract/family.js'
import { compileJson } from './ajv.js'
import { SchemaFault, type Validator } from './checker.js'
import { jsonKeyFault } from './json-key.js'
import type { Json } from './json-references.js'
import { keyFault } from './schema.js'
import { standard } from './standard-schema.js'
import { compileTypeBox } from './typebox-1.js'
import { compile } from './validate.js'

/**
 * Makes a schema ready by the checker of its family, which is loaded when its first schema is declared.
 *
 * @param limit bytes of the longest message that it will check, default 65 536
 * @throws SchemaFault for what is no schema of a known family, is unsafe, cannot work, or whose checker is missing
 */
export function validatorOf (schema: unknown, limit = 65_536): Validator {
  // The family was told by marks that the schema has, which is all that its compiler asks for.
  switch (familyOf(schema)) {
    case 'typebox': return compile(schema as TSchema, limit)
    case 'typebox-1': return compileTypeBox(schema as Json, limit)
    case 'json-schema': return compileJson(schema as Json, limit)
    case 'standard-schema': return standard(schema as { '~standard': unknown })
    default:
      throw new SchemaFault(
        'it is no schema that is known: build it with TypeBox\'s Type (npm i @sinclair/typebox@0.34, or typebox@1), with a library of Standard Schema (zod 4, valibot, arktype), or write JSON Schema with a type'
      )
  }
}

/**
 * Why the newest values cannot be kept by this property; `undefined` when they can, or when the schema does not show
 * its properties.
 */
export function keyFaultOf (schema: unknown, key: string): string | undefined {
  switch (familyOf(schema)) {
    case 'typebox': return keyFault(schema as TSchema, key)
    case 'typebox-1': case 'json-schema': return jsonKeyFault(schema, key)
    default: return undefined
  }
}
