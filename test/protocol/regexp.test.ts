import recheck from 'recheck'
import t from 'tap'
import { stepsOf } from '../../lib/protocol/regexp.js'
import { used } from '../helpers/cost.js'

/** More steps than a message may take. */
const TOO_MANY = 2_000_000

/** What stops a process with a string of some dozens of characters. */
const EXPONENTIAL = [
  '^(a+)+$', '^(a*)*$', '^(a|a)*$', '^(a|aa)+$', '^(a|a?)+$', '^([a-z0-9]+)+$', '^(\\d+|[a-z]+)*$', '^(?:a|b|ab)*$', '(x+x+)+y', '^(([a-z])+.)+[A-Z]([a-z])+$', '^(\\w+\\s?)*$',
  '^(?:[a-zA-Z]+)*$', '^(a+){2,}$', '^(\\s*\\w*)*$', '^(.*a){12,}$', '^(?:(?:a+)b?)*$', '^((ab)*)+$', '^(a|b|[ab])*c$', '^(?:\\d|\\w)+x$', '^(?:.|\\n)*(?:.|\\n)*(?:a|.)*$',
  '^([^@]+@?)+$', '^(?:x?x)*y$', '^(?:[ab]|[bc])+d$', '(?:-?[0-9a-z]+)*#', '^(a+|b+|c)*$', '^(?<n>a+)+$', '^(?:a*b*)*$', '^(a?){40}a{40}$', '^(?:a{1,40}){1,40}$', '^(\\.?[a-z]+)*@$'
]

/** What stops it with some thousands. */
const POLYNOMIAL = [
  'a+b', '\\s+$', '^\\s+|\\s+$', '^[^\\s@]+@[^\\s@]+\\.[^\\s@]+$', '^.*?x.*?y$', '^\\d*\\d*$', '^a*a*b$', '^[a-z]*[a-z0-9]*!$', '^.*,.*$', '^\\w*-?\\w*$', '[0-9]+x', '^(.*)=(.*)$',
  '^a*b?a*$', '(.*)a', '^\\s*(.*?)\\s*$', '^[\\w.]+\\.[\\w.]+$', '^.*a.*b.*c$', '<.+>', '^-?\\d*\\.?\\d*$', 'x*y', '^(?:a+b?a+)$', '^[a-z]+[a-z]+[a-z]+$', '^.+@.+$', '^ *[^ ]* *[^x]*$',
  '^\\d+[0-9a-f]*$', '^(ab)*a?(ab)*$', '^\\S+\\S+$', '^"[^"]*".*".*"$', '^.{0,500}.{0,500}$', '\\bfoo\\w*bar\\b'
]

/** What a message may hold. */
const LINEAR = [
  '^a+$', '^[a-z0-9]+(?:-[a-z0-9]+)*$', '^(.*)$', '^\\d{4}-\\d{2}-\\d{2}$', '^[a-z]{1,64}$', '^[a-z]{1,2000}$', '^\\+?[0-9 ()-]{5,20}$', '^#[0-9a-f]{6}$', '^[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$',
  '^(?:25[0-5]|2[0-4]\\d|1?\\d?\\d)(?:\\.(?:25[0-5]|2[0-4]\\d|1?\\d?\\d)){3}$', '^v?\\d+\\.\\d+\\.\\d+(?:-[0-9A-Za-z.-]+)?$', '^(?:#|0x)?[0-9a-f]+$', '^[A-Z][a-z]+(?: [A-Z][a-z]+)*$', '^[\\w.-]+$', '^[^<>]*$',
  '^(?:true|false)$', '^-?(?:0|[1-9]\\d*)(?:\\.\\d+)?$', '^[a-z]{2}(?:-[A-Z]{2})?$', '^@[a-z]\\w{0,29}$', '^\\/(?:[a-z0-9]+\\/)*$', '^(?:[01]\\d|2[0-3]):[0-5]\\d$', '^data:[a-z]+\\/[a-z]+;base64,[A-Za-z0-9+/]*={0,2}$',
  '^[A-Za-z_$][\\w$]*$', '^(?:\\/(?:[^~/]|~0|~1)*)*$', '^(?:red|green|blue)$', '^(0|[1-9][0-9]*)$', '^[A-Z]{3}\\d{4,10}$', '^(?:[^"\\\\]|\\\\.)*$', '^[^\\s@]+@[a-z0-9]+\\.com$', '^$', '^(?!-)[a-z-]+$',
  '^(?=.*\\d)[a-z\\d]{8,64}$', '^[\\p{L}\\d]+$', '^(?:a|b)(?:c|d)$', '^.{1,500}$', '^[+-]?\\d+$', '^(?:ftp|https?):', '^[a-z]+\\d+[a-z]+$', '^\\w+$', '^[0-9A-HJKMNP-TV-Z]{26}$'
]

function growth (source: string): number {
  const steps = stepsOf(source, '')
  return steps === undefined ? Infinity : steps(40_000) / steps(20_000)
}

t.test('an expression that takes exponential time is known for it, or not proved', async (t) => {
  for (const source of EXPONENTIAL) t.ok((stepsOf(source, '')?.(40) ?? Infinity) > TOO_MANY, source)
})

t.test('an expression that takes polynomial time is counted with its power of the length', async (t) => {
  for (const source of POLYNOMIAL) t.ok(growth(source) > 3.9, `${source}: ${growth(source)}`)
})

t.test('what people write for names, numbers, dates and addresses is proved linear', async (t) => {
  for (const source of LINEAR) {
    t.ok(growth(source) <= 2.01, `${source}: ${growth(source)}`)
    t.ok(stepsOf(source, '')!(64) < TOO_MANY, source)
  }
})

t.test('flags are seen: case, lines and Unicode', async (t) => {
  t.ok(stepsOf('^(?:a|A)*$', '')!(40) < TOO_MANY)
  t.ok(stepsOf('^(?:a|A)*$', 'i')!(40) > TOO_MANY)
  t.ok(stepsOf('^(?:k|\\u212a)*$', 'iu')!(40) > TOO_MANY, 'the Kelvin sign is a k')
  t.ok(stepsOf('^a+$', '')!(4_000) < TOO_MANY)
  t.ok(stepsOf('^a+$', 'm')!(4_000) > TOO_MANY, 'with m it may begin in every line')
  t.ok(stepsOf('^(?:\\p{L}|[a-z])+$', 'u')!(40) > TOO_MANY)
})

t.test(
  'what nobody can tell is not proved: references, what looks back, loops over nothing, what does not end',
  async (t) => {
    for (const source of [
      '^(a)\\1$',
      '^(?<x>a)\\k<x>$',
      '(?<=a)b',
      '^(a*)*$',
      '^(?:a?){2,}$',
      '(',
      '^[a-z]{2}{2}$',
      '^(?:(?:a|b|c|d|e){1,60}){1,60}$x?y?'.repeat(9)
    ]) {
      t.ok((stepsOf(source, '')?.(64) ?? Infinity) > TOO_MANY, source)
    }
  }
)

interface Verdict {
  readonly status: string
  readonly checker: string
  readonly complexity?: { readonly type: string, readonly degree?: number }
}

t.test('what another checker calls vulnerable is never called linear here', async (t) => {
  for (const source of [...EXPONENTIAL, ...POLYNOMIAL, ...LINEAR]) {
    const { status, complexity } = recheck.checkSync(source, '', { timeout: 500, checker: 'automaton' }) as Verdict
    if (status !== 'vulnerable') continue
    const steps = stepsOf(source, '')
    if (complexity?.type === 'exponential') t.ok((steps?.(40) ?? Infinity) > TOO_MANY, source)
    else t.ok(growth(source) >= 2 ** (complexity?.degree ?? 2) * 0.98, `${source}: ${growth(source)}`)
  }
})

t.test('the matcher takes no more steps than were counted', async (t) => {
  const seconds = (source: string, text: string): number => {
    const expression = new RegExp(source)
    const start = used()
    expression.test(text)
    return used() - start
  }
  for (const source of [...EXPONENTIAL, ...POLYNOMIAL, ...LINEAR]) {
    const steps = stepsOf(source, '')
    for (const unit of ['a', 'ab', 'a-', '0', ' ', 'a@', 'x.', '=', '"', '\\"', '~', 'A b', '1a']) {
      const lengths = Array.from({ length: 15 }, (_, power) => 2 ** (power + 2))
      const length = lengths.findLast((each) => (steps?.(each) ?? Infinity) < TOO_MANY) ?? 2
      const took = seconds(source, `${unit.repeat(Math.ceil(length / unit.length)).slice(0, length)}\u0000`)
      t.ok(took < 400, `${source} on ${length} characters of ${unit}: ${took} ms`)
    }
  }
})
