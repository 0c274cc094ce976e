import t from 'tap'
import { llms } from '../../scripts/documents/llms.js'
import { documentOf, PAGES } from '../helpers/documents.js'

const README = documentOf('README.md')

t.test('the README is read in one go, and begins a newcomer with two commands', async (t) => {
  t.ok(README.split('\n').length <= 250, `${README.split('\n').length} lines`)
  t.match(README, /^npm ci && npm start /m)
  t.match(README, /^npm ci && npm test /m)
})

t.test('from the README each area of the site is found, and each page lies in an area or at the top', async (t) => {
  const areas = [...README.matchAll(/\]\((docs\/[a-z]+\/)\)/g)].map(([, path]) => path!)
  const top = ['README.md', 'skills/fastify-realtime/SKILL.md', 'docs/index.md', 'docs/troubleshooting.md']
  t.same(PAGES.filter((path) => !top.includes(path) && !areas.some((area) => path.startsWith(area))), [])
})

t.test('llms.txt lists pages that are there, of each area', async (t) => {
  const listed = [...documentOf('llms.txt').matchAll(/\]\(\S+?\/main\/(docs\/\S+\.md)\): .{20}/g)].map(([, path]) => path!)
  t.same(listed.filter((path) => !PAGES.includes(path)), [])
  const areas = (paths: readonly string[]): string[] =>
    [...new Set(paths.map((path) => /^docs\/(\w+)\//.exec(path)?.[1] ?? ''))].filter((area) => area !== '').sort()
  t.same(areas(listed), areas(PAGES))
  t.equal(documentOf('llms.txt'), llms(), 'it is what is made of the pages; npm run docs:figures brings it up to date')
})
