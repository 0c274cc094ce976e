import assert from 'node:assert/strict'
import fc from 'fast-check'
import t from 'tap'
import { keyOf, keyOfKind, textOf, wellFormed } from '../../lib/protocol/key.js'
import { tokenOf } from '../../lib/adapters/nats/tokens.js'

/** What has joined keys somewhere, what escapes are made of, and what UTF-8 cannot say. */
const JOINTS = [
  '\n', ':', ' ', '\0', '%', '%0A', '%25', '%u', '2', '5', 'u', 'D83D', '{', '}', '.', '*', '>', '=', '/', '__proto__',
  'a', 'b', '\uD83D', '\uDE00', '\u00e9', 'e\u0301', '\uFFFD', ''
]
const text = fc.oneof(
  fc.array(fc.constantFrom(...JOINTS), { maxLength: 6 }).map((parts) => parts.join('')),
  fc.string({ unit: 'binary' }),
  fc.array(fc.integer({ min: 0, max: 0xffff }), { maxLength: 8 }).map((units) => String.fromCharCode(...units))
)
const parts = fc.array(text, { minLength: 1, maxLength: 4 }) as fc.Arbitrary<[string, ...string[]]>

function same (one: readonly string[], other: readonly string[]): boolean {
  return one.length === other.length && one.every((part, index) => part === other[index])
}

function bytesOf (key: string): string { return Buffer.from(key).toString('hex') }

t.test('different parts give different keys, also as the bytes that a broker keeps', async () => {
  fc.assert(fc.property(parts, parts, (one, other) => {
    assert.equal(bytesOf(keyOf(...one)) === bytesOf(keyOf(...other)), same(one, other))
  }), { numRuns: 5_000 })
})

t.test('parts cut at other places give different keys', async () => {
  fc.assert(fc.property(text, text, text, fc.constantFrom('\n', ':', ' ', '%0A', '\0'), (a, b, c, joint) => {
    const [one, other]: [[string, string], [string, string]] = [[`${a}${joint}${b}`, c], [a, `${b}${joint}${c}`]]
    assert.equal(keyOf(...one) === keyOf(...other), same(one, other))
    assert.notEqual(keyOf(a, b), keyOf(`${a}${joint}${b}`))
  }), { numRuns: 2_000 })
})

t.test('keys of different kinds are different', async () => {
  fc.assert(fc.property(parts, parts, (one, other) => {
    assert.notEqual(keyOfKind('user', ...one), keyOfKind('token', ...other))
  }))
})

t.test('what is handed to a broker stays different from what it is not, and is UTF-8', async () => {
  fc.assert(fc.property(text, text, (one, other) => {
    assert.equal(bytesOf(wellFormed(one)) === bytesOf(wellFormed(other)), one === other)
    assert.equal(Buffer.from(wellFormed(one)).toString(), wellFormed(one))
    assert.equal(tokenOf(one) === tokenOf(other), one === other)
    assert.match(tokenOf(one), /^[A-Za-z0-9_=-]*$/)
  }), { numRuns: 5_000 })
})

t.test('an ordinary name stands in its key as it is, so that nodes of the version before find it', async (t) => {
  t.equal(keyOf('auth0|ann@example.org', 'client-7'), 'auth0|ann@example.org\nclient-7')
  t.equal(keyOfKind('user', 'org:ann'), 'user:org:ann')
  t.equal(wellFormed('ann\nclient-7'), 'ann\nclient-7')
})

t.test('a long text and one that looks like its name are two tokens', async (t) => {
  const long = 'x'.repeat(1_000)
  t.not(tokenOf(long), tokenOf(`${long}y`))
  t.not(tokenOf(Buffer.from(tokenOf(long).slice(1), 'base64url').toString('latin1')), tokenOf(long))
  t.ok(tokenOf(long).startsWith('='))
})

t.test('the text of which a key was made is read from it', async () => {
  fc.assert(fc.property(text, (one) => { assert.equal(textOf(keyOf(one)), one) }), { numRuns: 5_000 })
})
