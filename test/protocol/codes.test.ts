import t from 'tap'
import { retryOfClose } from '../../lib/protocol/close-codes.js'
import { codes, isCode, type Code } from '../../lib/protocol/codes.js'

/** word, HTTP status, close code (0: closes nothing), retry */
const TABLE: Array<[Code, number, number, string]> = [
  ['unauthorized', 401, 4401, 'refresh'],
  ['token_expired', 401, 4401, 'refresh'],
  ['forbidden', 403, 4503, 'never'],
  ['revoked', 403, 4503, 'never'],
  ['origin_refused', 403, 0, 'never'],
  ['room_unknown', 404, 0, 'never'],
  ['room_invalid', 400, 0, 'never'],
  ['invalid_message', 400, 0, 'never'],
  ['message_unknown', 400, 0, 'never'],
  ['not_joined', 400, 0, 'never'],
  ['duplicate', 409, 0, 'never'],
  ['message_too_large', 413, 1009, 'never'],
  ['protocol', 400, 4500, 'never'],
  ['server_full', 503, 1013, 'backoff'],
  ['room_full', 503, 1013, 'backoff'],
  ['unavailable', 503, 1013, 'backoff'],
  ['user_limit', 429, 4509, 'never'],
  ['replaced', 409, 4509, 'never'],
  ['address_limit', 429, 4429, 'backoff'],
  ['rate_limited', 429, 4429, 'backoff'],
  ['room_limit', 409, 0, 'never'],
  ['draining', 503, 1001, 'now'],
  ['slow_consumer', 503, 4410, 'backoff'],
  ['heartbeat_timeout', 408, 4408, 'now'],
  ['timeout', 504, 0, 'backoff'],
  ['internal', 500, 1011, 'backoff']
]

t.test('the code table says what the protocol says, word for word', async (t) => {
  t.same(Object.entries(codes).map(([word, { status, close = 0, retry }]) => [word, status, close, retry]), TABLE)
})

t.test('every word is snake_case and has a text that a peer may read', async (t) => {
  for (const [word, { message }] of Object.entries(codes)) {
    t.match(word, /^[a-z]+(_[a-z]+)*$/)
    t.match(message, /^[a-z].{8,}$/)
  }
})

t.test('45xx is final, 44xx may come back', async (t) => {
  for (const [word, { close = 0, retry }] of Object.entries(codes)) {
    if (close >= 4_500) t.equal(retry, 'never', word)
    else if (close >= 4_400) t.not(retry, 'never', word)
  }
})

t.test('a word is known by its own name only, not by what an object inherits', async (t) => {
  t.equal(isCode('forbidden'), true)
  for (const word of ['toString', '__proto__', 'constructor', '', undefined, 4503]) {
    t.equal(isCode(word), false, String(word))
  }
})

t.test('a client that knows a close code alone does as the table says', async (t) => {
  for (const [word, { close, retry }] of Object.entries(codes)) {
    if (close !== undefined) t.equal(retryOfClose(close), retry, word)
  }
  for (const close of [1000, 1005, 1006, 4000]) t.equal(retryOfClose(close), 'backoff', String(close))
})
