import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { EXAMPLES, linesOf } from '../../scripts/documents/example-lines.js'
import { chapterOf, documentOf, PAGES } from '../helpers/documents.js'
import { files, graph } from '../helpers/imports.js'

const ROOT = new URL('../../', import.meta.url)
const ARCHITECTURE = readFileSync(new URL('ARCHITECTURE.md', ROOT), 'utf8')

t.test('every path that the documents name is there', async (t) => {
  for (const document of ['ARCHITECTURE.md', 'CONTRIBUTING.md', 'SECURITY.md', 'example/README.md', ...PAGES]) {
    const text = documentOf(document)
    const paths = [...text.matchAll(/(?:`|\]\()(?:\.\.\/)*((?:lib|test|example|bench|scripts|docs)\/[\w./-]+)(?:`|\))/g)]
    for (const [, path] of paths) t.ok(existsSync(new URL(path!, ROOT)), `${document} names ${path!}`)
  }
})

t.test('a chapter that names a script of this repository says that it needs a clone, since the package has no scripts', async (t) => {
  const { scripts } = JSON.parse(documentOf('package.json')) as { scripts: Record<string, string> }
  let count = 0
  for (const page of PAGES) {
    for (const [at, text] of documentOf(page).split('\n').entries()) {
      for (const [, name] of text.matchAll(/\bnpm run ([\w:-]+)/g)) {
        if (!Object.hasOwn(scripts, name!)) continue
        count++
        if (!/\bclone of\b/.test(chapterOf(page, at + 1))) t.fail(`${page}:${at + 1}: npm run ${name!}`)
      }
    }
  }
  t.ok(count > 30, `${count} places`)
})

t.test('a page or an example that reads an answer of fetch looks at its status, since an error is no token and no state', async (t) => {
  const files = readdirSync(fileURLToPath(new URL('example', ROOT)), { recursive: true, encoding: 'utf8' })
    .filter((path) => /\.(?:js|tsx?|vue|html)$/.test(path) && !path.includes('node_modules'))
    .map((path) => `example/${path}`)
  let count = 0
  for (const path of [...files, ...PAGES]) {
    const lines = documentOf(path).split('\n')
    for (const [at, line] of lines.entries()) {
      if (!/\bawait fetch\(/.test(line)) continue
      count++
      // Whoever passes the answer on leaves the look to the caller.
      if (/(?:=>|return) await fetch\(/.test(line)) continue
      const behind = lines.slice(at, at + 14)
      const read = behind.findIndex((each) => /\.(?:json|text)\(\)/.test(each))
      // A login reads the sentence of a refusal, and looks then.
      const near = behind.slice(0, read + 4).join('\n')
      if (read !== -1 && !/\.(?:ok|status)\b/.test(near)) t.fail(`${path}:${at + 1}: ${line.trim()}`)
    }
  }
  t.ok(count > 30, `${count} places`)
})

t.test('no file of an example app is longer than 150 lines, so that each is read in one go', async (t) => {
  const lengths = EXAMPLES.flatMap(({ folder }) => linesOf(folder).map(({ file, lines }) => ({ file: `${folder}/${file}`, lines })))
  t.ok(lengths.length > 50, `${lengths.length} files`)
  t.same(lengths.filter(({ lines }) => lines > 150), [])
})

t.test('an example is shorter than 150 lines in all, but for those of which its page says why', async (t) => {
  const longer = EXAMPLES.map(({ folder }) => folder)
    .filter((folder) => linesOf(folder).reduce((all, { lines }) => all + lines, 0) >= 150)
  const [, reasons] = /^- .*longer than 150 lines in all, each for a reason\. (.+)$/m.exec(documentOf('example/README.md'))!
  t.same(longer.filter((folder) => !reasons!.includes(`\`${folder}\``)), [])
  t.ok(longer.length <= 6, longer.join(', '))
})

t.test('every folder of lib has its job said', async (t) => {
  const folders = readdirSync(fileURLToPath(new URL('lib', ROOT)), { withFileTypes: true })
    .filter((entry) => entry.isDirectory())
  for (const { name } of folders) t.match(ARCHITECTURE, `\`lib/${name}/\``)
})

/** Whether two files know each other, or some file knows both or is known by both. */
function areLinked (a: string, b: string): boolean {
  const neighbours = (file: string): Set<string> => new Set([
    ...graph.get(file)!.map(({ target }) => target),
    ...files.filter((other) => graph.get(other)!.some(({ target }) => target === file))
  ])
  const [ofA, ofB] = [neighbours(a), neighbours(b)]
  return ofA.has(b) || [...ofA].some((file) => ofB.has(file))
}

t.test('the five ways are ways: each file is linked to the one before it', async (t) => {
  const ways = [...ARCHITECTURE.matchAll(/^### The way of (.+)\n([^]*?)(?=^#|$(?![^]))/gm)]
  t.same(ways.map(([, name]) => name), ['a message', 'a broadcast', 'a text that grows', 'an upgrade', 'a resume'])
  for (const [, name, steps] of ways) {
    const passed = [...steps!.matchAll(/^\d+\. `lib\/(\S+\.ts)`/gm)].map(([, file]) => file!)
    t.ok(passed.length > 5, `${name}: ${passed.length} files`)
    for (const [index, file] of passed.entries()) {
      if (index > 0) t.ok(areLinked(passed[index - 1]!, file), `${name}: ${passed[index - 1]!} and ${file}`)
    }
  }
})
