import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { readdirSync } from 'node:fs'
import { posix } from 'node:path'
import { transformSync } from 'esbuild'
import t from 'tap'
import { parse as parseYaml } from 'yaml'
import { slugOf } from '../../docs/.vitepress/slug.js'
import { blocksOf, documentOf, isThere, PAGES, proseOf, quotedText, ROOT, type Block } from '../helpers/documents.js'

/** Whether a block shows what a call returns: test/project/reference.test.ts holds those of rooms.md to the types. */
function isShape ({ path, line }: Block): boolean {
  return path === 'docs/reference/rooms.md' &&
    /^<!-- shape: \w+ -->$/.test(documentOf(path).split('\n')[line - 2] ?? '')
}

const blocks = PAGES.flatMap(blocksOf).filter((block) => !isShape(block))
const TESTS = ['example/readme/testing.ts', 'example/readme/resume.ts']

t.test('a block that names a file is the text of that file, and each block of TypeScript names one', async (t) => {
  for (const { path, line, quoted, text } of blocks) {
    if (quoted !== undefined) t.equal(text, quotedText(quoted), `${path}:${line} quotes ${quoted}`)
  }
  const free = blocks.filter(({ language, quoted }) => /^(ts|tsx)$/.test(language) && quoted === undefined)
  t.same(free.map(({ path, line }) => `${path}:${line}`), [], 'a file that is compiled has all TypeScript')
  const shown = new Set(blocks.map(({ quoted }) => quoted))
  const files = readdirSync(`${ROOT}example/readme`).filter((file) => file.endsWith('.ts'))
  t.same(files.filter((file) => !shown.has(`example/readme/${file}`)), [], 'every file is quoted')
})

/** What reads a block that names no file, by its language; it throws where the text is not of the language. */
const READERS: Readonly<Record<string, (text: string) => unknown>> = {
  js: (text) => transformSync(text, { loader: 'js', format: 'esm' }),
  json: (text) => JSON.parse(text) as unknown,
  yaml: (text) => parseYaml(text) as unknown,
  // A page has its code in modules; what has none is wrong.
  html: (text) => {
    const scripts = [...text.matchAll(/<script type="module">([^]*?)<\/script>/g)]
    if (scripts.length === 0) throw new Error('no module')
    for (const [, script] of scripts) transformSync(script!, { loader: 'js', format: 'esm' })
  },
  sh: (text) => {
    const { status, stderr } = spawnSync('bash', ['-n'], { input: text, encoding: 'utf8' })
    if (status !== 0) throw new Error(stderr)
  }
}

t.test('a block that names no file is right in its language; others than these have a test of their own', async (t) => {
  for (const { path, line, language, quoted, text } of blocks) {
    const read = READERS[language]
    if (quoted === undefined && read !== undefined) t.doesNotThrow(() => { read(text) }, `${path}:${line}`)
  }
  // Those of Python and PHP are run by test/server-api/languages.test.ts; lines of logs are no code.
  const others = blocks.filter(({ language, quoted }) => quoted === undefined && READERS[language] === undefined)
  t.same([...new Set(others.map(({ language }) => language))].filter((each) => !/^(python|php|text)$/.test(each)), [])
})

/** The anchors of a page; a heading that comes again has a number. */
function anchorsOf (path: string): Set<string> {
  const anchors = new Set<string>()
  for (const [, title] of proseOf(path).matchAll(/^#+ (.+)$/gm)) {
    const slug = slugOf(title!.replace(/\[([^\]]*)\]\([^)]*\)/g, '$1').replaceAll(/[`*]/g, ''))
    let name = slug
    for (let again = 1; anchors.has(name); again++) name = `${slug}-${again}`
    anchors.add(name)
  }
  return anchors
}

t.test('every link of the README and of a page to a file, a page or a chapter leads somewhere', async (t) => {
  let count = 0
  for (const path of PAGES) {
    for (const [, link] of proseOf(path).matchAll(/\]\(([^)\s]+)\)/g)) {
      if (/^https?:/.test(link!)) continue
      const [file, anchor] = link!.split('#') as [string, string?]
      const target = file === '' ? path : posix.join(posix.dirname(path), file)
      count++
      // A page is named with its ending: so the same link leads there on GitHub and on the site.
      if (!isThere(target)) t.fail(`${path} links to ${link!}`)
      else if (anchor !== undefined && !anchorsOf(target).has(anchor)) t.fail(`${path} links to ${link!}, no such chapter`)
    }
  }
  t.ok(count > 80, `${count} links`)
})

t.test('the tests that the page on testing shows pass', async (t) => {
  const child = spawn(process.execPath, ['--import', 'tsx', '--test', ...TESTS], {
    cwd: ROOT,
    // The runner's own variables would make it report to tap in its place.
    env: { PATH: process.env.PATH, HOME: process.env.HOME },
    stdio: ['ignore', 'pipe', 'pipe']
  })
  let output = ''
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => { output += String(chunk) })
  const [code] = await once(child, 'exit') as [number | null]
  t.equal(code, 0, output)
})
