import { createHash } from 'node:crypto'
import { wellFormed } from '../../protocol/key.js'

/** Longest text in the form of a token, in characters; a longer one is named by its hash. */
const MAX = 400

/** Writes any text as one token of a subject or a key. `=` stands before a hash, and is in no other token. */
export function tokenOf (text: string): string {
  const bytes = Buffer.from(wellFormed(text))
  const token = bytes.toString('base64url')
  return token.length > MAX ? `=${createHash('sha256').update(bytes).digest('base64url')}` : token
}

/** A key that shares a bucket with keys of other kinds. */
export function stateKey (kind: string, text: string): string { return `${kind}.${tokenOf(text)}` }

/** Returns the subject of a value in a KV bucket, whose name has no dot. */
export function subjectOf (bucket: string, key: string): string { return `$KV.${bucket}.${key}` }
