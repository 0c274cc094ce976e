import { posix } from 'node:path'
import t from 'tap'
import { blocksOf, chapterOf, documentOf, isThere, PAGES, type Block } from '../helpers/documents.js'

const REPOSITORY = 'https://github.com/fastify-realtime/fastify-realtime/blob/main/'
/** A module that is imported by its place, and a script or style of a page that lies beside it. */
const IMPORT = /(?:\b(?:from|import)\s*\(?\s*['"](\.\.?\/[^'"]+)['"]|\b(?:src|href)="([\w.-][\w./-]*\.(?:js|css))")/g

/** What every reader has installed; and, by the page, what an app has that moves from it to this package. */
const INSTALLED = ['fastify', 'fastify-realtime', '@sinclair/typebox']
const OLD: Readonly<Record<string, readonly string[]>> = {
  'docs/guides/from-a-set.md': ['@fastify/websocket'],
  'docs/guides/from-socket-io.md': ['socket.io', 'socket.io-client']
}

const blocks = new Map(PAGES.map((page) => [page, blocksOf(page)]))

function quotesWhole (page: string, file: string): boolean {
  return (blocks.get(page) ?? []).some(({ quoted }) => quoted === file)
}

/** The file that a file imports, by its path below the root; where that only passes on another one, the other. */
function fileOf (from: string, specifier: string): string {
  const path = posix.join(posix.dirname(from), specifier)
  const file = [path, path.replace(/\.js$/, '.ts'), path.replace(/\.js$/, '.tsx')].find(isThere)
  if (file === undefined) throw new Error(`${from} imports ${specifier}, which is no file`)
  const passedOn = /^export \* from '([^']+)'$/m.exec(documentOf(file))?.[1]
  return passedOn === undefined ? file : fileOf(file, passedOn)
}

/** What one needs to run a block: the rest of its file where it is a part, and what it imports. */
function neededBy (page: string, { quoted, text }: Block): string[] {
  const [file, part] = (quoted ?? '').split('#') as [string, string?]
  const imports = [...text.matchAll(IMPORT)].map(([, module, asset]) => module ?? asset!)
  if (quoted === undefined) {
    // The page does not say which file it is: so it is one beside those that the page has.
    const others = blocks.get(page)!.flatMap(({ quoted: other }) => other ?? [])
    const nameOf = (path: string): string => posix.parse(path).name
    return imports.map((specifier) => others.find((path) => nameOf(path) === nameOf(specifier)) ?? specifier)
  }
  return [...part === undefined ? [] : [file], ...imports.map((specifier) => fileOf(file, specifier))]
}

/** Whether a link beside a block has the name of a file, and leads to it or to a page that quotes it whole. */
function isLinked (page: string, line: number, file: string): boolean {
  return [...chapterOf(page, line).matchAll(/\[`([^`\]]+)`\]\(([^)#\s]+)[^)]*\)/g)].some(([, name, link]) => {
    const target = link!.startsWith(REPOSITORY)
      ? link!.slice(REPOSITORY.length)
      : posix.join(posix.dirname(page), link!)
    return name === posix.basename(file) && (target === file || quotesWhole(target, file))
  })
}

t.test('who follows a page has every file that its code needs: whole on the page, or by a link beside the code', async (t) => {
  let count = 0
  for (const [page, all] of blocks) {
    for (const block of all) {
      for (const file of neededBy(page, block)) {
        count++
        if (quotesWhole(page, file) || isLinked(page, block.line, file)) continue
        t.fail(`${page}:${block.line} needs ${file}: quote it whole on the page, or write [\`${posix.basename(file)}\`](a link) there`)
      }
    }
  }
  t.ok(count > 60, `${count} files are needed by quoted code`)
})

/** The packages that the modules of a page import, without those of which only types are taken. */
function packagesOf (page: string): Set<string> {
  const imports = blocks.get(page)!.flatMap(({ text }) => [...text.matchAll(/^import (?!type\b)(?:[^']*? from )?'([^'./][^']*)'/gm)])
  return new Set(imports.map(([, name]) => name!)
    .filter((name) => !name.startsWith('node:'))
    .map((name) => name.split('/').slice(0, name.startsWith('@') ? 2 : 1).join('/')))
}

t.test('a page says how to install each package that its code imports; the tutorial on this page or one before it', async (t) => {
  let count = 0
  const tutorial: string[] = []
  for (const page of PAGES) {
    const commands = [...documentOf(page).matchAll(/^npm install (.+)$/gm)].flatMap(([, names]) =>
      // Some with the version that is wanted.
      names!.split(' ').map((name) => name.replace(/(?<!^)@.+$/, '')))
    if (page.startsWith('docs/tutorial/')) commands.push(...tutorial.splice(0))
    const known = [...INSTALLED, ...commands, ...OLD[page] ?? []]
    const packages = packagesOf(page)
    count += packages.size
    t.same([...packages].filter((name) => !known.includes(name)), [], page)
    if (page.startsWith('docs/tutorial/')) tutorial.push(...commands)
  }
  t.ok(count > 60, `${count} packages`)
})

t.test('a whole file that uses more of a user than every token has brings the types of the user', (t) => {
  let count = 0
  for (const [page, all] of blocks) {
    for (const { quoted, text, line } of all) {
      if (!/^[^#]+\.tsx?$/.test(quoted ?? '') || !/\bapp\.room\(|\bauthenticate\b/.test(text)) continue
      if (!/\buser\.(?!sub\b|exp\b|id\b)[a-z]/.test(text)) continue
      count++
      const known = /^import '.*\/types\.js'$|^declare module '(?:fastify-realtime|@fastify\/jwt)'/m
      if (!known.test(text)) t.fail(`${page}:${line}: copied alone it does not compile; import './types.js'`)
    }
  }
  t.ok(count > 5, `${count} files`)
  t.end()
})
