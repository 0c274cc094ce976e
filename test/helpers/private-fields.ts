import { Session } from 'node:inspector'

/** Objects that are looked into, by the name under which the inspector finds them. */
const KEY = 'realtimeLookedInto'

/**
 * How much a private field of an object holds: the size of a map or set, the length of an array. There is no other way
 * to read it from outside, and a getter for tests alone would be code that nobody uses.
 *
 * @param path of private fields, the first of them of the object, such as `#shards.#channels`
 */
export function sizeOf (object: object, path: string): number {
  const session = new Session()
  session.connect()
  try {
    const scope = globalThis as Record<string, unknown>
    scope[KEY] = object
    const { result } = ask<{ result: { objectId: string } }>(session, 'Runtime.evaluate', {
      expression: `globalThis.${KEY}`
    })
    delete scope[KEY]
    const found = path.split('.').reduce((objectId, field) => fieldOf(session, objectId, field), result.objectId)
    const { result: { value } } = ask<{ result: { value: number } }>(session, 'Runtime.callFunctionOn', {
      objectId: found,
      functionDeclaration: 'function () { return this.size ?? this.length }',
      returnByValue: true
    })
    return value
  } finally {
    session.disconnect()
  }
}

/** @returns the inspector's name of what the field holds */
function fieldOf (session: Session, objectId: string, field: string): string {
  const { privateProperties = [] } = ask<Properties>(session, 'Runtime.getProperties', { objectId, ownProperties: true })
  const found = privateProperties.find(({ name }) => name === field)?.value
  if (found?.objectId === undefined) {
    throw new Error(`no field ${field} in ${privateProperties.map(({ name }) => name).join(', ')}`)
  }
  return found.objectId
}

interface Properties {
  readonly privateProperties?: ReadonlyArray<{ readonly name: string, readonly value?: { readonly objectId?: string } }>
}

/** The inspector of this process answers before `post` returns. */
function ask<T> (session: Session, method: string, params: object): T {
  let answer: unknown
  session.post(method, params, (error: Error | null, result?: object) => {
    if (error !== null) throw error
    answer = result
  })
  return answer as T
}
