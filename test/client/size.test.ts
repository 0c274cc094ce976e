import { readFileSync } from 'node:fs'
import t from 'tap'
import { clientSizes, OPTIONS, sizesDocument } from '../../scripts/documents/client-sizes.js'

/**
 * Bytes of ES modules, minified and gzipped, that a page loads: with the core, what each option adds to it; with the
 * whole client, what the hooks of React and the composables of Vue, all of them, add to it; a page with the client and
 * a contract of light builders, which is that of docs/reference/schemas.md, one with the types of that alone, and one
 * with a contract of TypeBox; and the two files for pages without a bundler.
 */
const MOST: Readonly<Record<string, number>> = {
  core: 6_200,
  members: 435,
  liveState: 360,
  answers: 330,
  serverJoins: 180,
  tickets: 480,
  wake: 190,
  diagnosis: 350,
  upward: 140,
  roomLimit: 120,
  packageSocket: 110,
  oldEngines: 130,
  growingTexts: 1_310,
  iterate: 275,
  'snapshot, reload': 1_070,
  share: 2_660,
  whole: 11_545,
  react: 1_499,
  vue: 1_499,
  builders: 12_416,
  types: 11_610,
  typebox: 24_600,
  '/ws/client.js': 14_280,
  'client.global.js': 14_440
}
const sizes = await clientSizes()

for (const [name, most] of Object.entries(MOST)) {
  t.test(`${name}: at most ${most} bytes`, async (t) => {
    const { size } = sizes[name]!
    t.comment(`${size} bytes`)
    t.ok(size <= most, `${size} bytes`)
  })
}

t.test('the client takes nothing else into a page, and the hooks and a contract take no package', async (t) => {
  t.same(Object.keys(sizes).sort(), Object.keys(MOST).sort(), 'each has its bound')
  for (const file of sizes.whole!.files.filter((name) => name !== '<stdin>')) {
    t.match(file, /lib\/(client|protocol)\//)
  }
  for (const name of ['react', 'vue', 'builders']) {
    t.same(sizes[name]!.files.filter((file) => !/^(<stdin>|(lib|example)\/.*)$/.test(file)), [], name)
  }
  t.same(sizes.types!.files.filter((name) => name.includes('light-rooms')), [])
})

t.test('an option costs nothing where it is not used', async (t) => {
  for (const [option, file] of Object.entries(OPTIONS)) {
    t.notOk(sizes.core!.files.includes(`lib/client/${file}.ts`), `${option} is not in the core`)
  }
})

/** Bytes by which the compression of another version of Node differs. */
const NEAR = 30

t.test('bench/SIZES.md, from which the documents take their figures, is what the code is now', async (t) => {
  const numbersOf = (text: string): Record<string, number> => Object.fromEntries(
    [...text.matchAll(/^\| ([^|]+) \| (\d+) /gm)].map(([, name, bytes]) => [name!, Number(bytes)])
  )
  const written = numbersOf(readFileSync(new URL('../../bench/SIZES.md', import.meta.url), 'utf8'))
  const now = numbersOf(await sizesDocument())
  t.same(Object.keys(written).sort(), Object.keys(now).sort(), 'npm run docs:figures writes it')
  for (const [name, bytes] of Object.entries(now)) {
    t.ok(Math.abs(bytes - written[name]!) <= NEAR, `${name} is ${bytes}, not ${written[name]!}: npm run docs:figures`)
  }
})
