/**
 * The counts of the layout: `npm run measure`. Each is read from the source, so that it is the same on every machine.
 */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { Application, type ProjectReflection, ReflectionKind } from 'typedoc'
import ts from 'typescript'
import { files, graph, isOurs, LIB } from '../test/helpers/imports.js'

const ROOT = fileURLToPath(new URL('..', import.meta.url))
const WIDTH = 120

function sourceOf (file: string): ts.SourceFile {
  return ts.createSourceFile(file, readFileSync(join(LIB, file), 'utf8'), ts.ScriptTarget.Latest, true)
}

const sources = files.filter((file) => !file.endsWith('/built.ts')).map(sourceOf)

function folderOf (file: string): string { return file.includes('/') ? file.slice(0, file.lastIndexOf('/')) : '' }

function wideLines (folder: string): number {
  return readdirSync(join(ROOT, folder), { recursive: true, encoding: 'utf8' })
    .filter((file) => file.endsWith('.ts') && !file.endsWith('built.ts') && !file.includes('node_modules'))
    .flatMap((file) => readFileSync(join(ROOT, folder, file), 'utf8').split('\n'))
    .filter((line) => line.length > WIDTH).length
}

function longestFunction (): string {
  let longest = { lines: 0, name: '' }
  for (const source of sources) {
    const lineOf = (at: number): number => source.getLineAndCharacterOfPosition(at).line
    const visit = (node: ts.Node): void => {
      if (ts.isFunctionLike(node) && 'body' in node && node.body !== undefined) {
        const lines = lineOf(node.end) - lineOf(node.getStart(source)) + 1
        const name = `${source.fileName} ${node.name?.getText(source) ?? '(without a name)'}`
        if (lines > longest.lines) longest = { lines, name }
      }
      ts.forEachChild(node, visit)
    }
    visit(source)
  }
  return `${longest.lines} lines: ${longest.name}`
}

function casts (to: string): number {
  let count = 0
  const visit = (node: ts.Node): void => {
    if (ts.isAsExpression(node)) {
      if (to === 'never' && node.type.kind === ts.SyntaxKind.NeverKeyword) count++
      if (to === 'unknown' && ts.isAsExpression(node.expression) &&
        node.expression.type.kind === ts.SyntaxKind.UnknownKeyword) count++
    }
    ts.forEachChild(node, visit)
  }
  for (const source of sources) visit(source)
  return count
}

/** Names at the top of a file that more than one file declares. */
function sharedNames (): string[] {
  const places = new Map<string, Set<string>>()
  for (const source of sources) {
    for (const statement of source.statements) {
      const names = ts.isVariableStatement(statement)
        ? statement.declarationList.declarations.map(({ name }) => name.getText(source))
        : 'name' in statement && statement.name !== undefined ? [(statement.name as ts.Node).getText(source)] : []
      for (const name of names) places.set(name, (places.get(name) ?? new Set()).add(source.fileName))
    }
  }
  return [...places].filter(([, own]) => own.size > 1).map(([name]) => name)
}

/** Files that no test imports itself. */
function untested (): string[] {
  const test = join(ROOT, 'test')
  const texts = readdirSync(test, { recursive: true, encoding: 'utf8' })
    .filter((file) => file.endsWith('.test.ts'))
    .map((file) => readFileSync(join(test, file), 'utf8'))
  return files.filter((file) => !texts.some((text) => text.includes(`lib/${file.replace(/\.ts$/, '.js')}'`)))
}

/** The five ways of ARCHITECTURE.md: the files in their order, and how often the next one is in another folder. */
function ways (): string[] {
  const text = readFileSync(join(ROOT, 'ARCHITECTURE.md'), 'utf8')
  return [...text.matchAll(/^### The way of (.+)\n([^]*?)(?=^#|$(?![^]))/gm)].map(([, name, steps]) => {
    const passed = [...steps!.matchAll(/^\d+\. `lib\/(\S+\.ts)`/gm)].map(([, file]) => file!)
    const crossings = passed.filter((file, index) => index > 0 && folderOf(file) !== folderOf(passed[index - 1]!))
    return `${name}: ${crossings.length} of ${passed.length - 1} steps into another folder`
  })
}

async function documented (): Promise<string> {
  const app = await Application.bootstrapWithPlugins({ logLevel: 'Error' })
  const project = await app.convert() as ProjectReflection
  const entries = project.getReflectionsByKind(ReflectionKind.SomeModule & ~ReflectionKind.Namespace)
  const exported = entries.flatMap((entry) => 'children' in entry ? entry.children as ProjectReflection[] : [])
  const has = (reflection: { hasComment: () => boolean, signatures?: Array<{ hasComment: () => boolean }> }): boolean =>
    reflection.hasComment() || (reflection.signatures?.some((each) => each.hasComment()) ?? false)
  const members = project.getReflectionsByKind(ReflectionKind.Property | ReflectionKind.Method)
  const own = exported.filter(({ kind }) => kind !== (ReflectionKind.Reference as number))
  return `${own.filter(has).length} of ${own.length} exports, ${members.filter(has).length} of ${members.length} members`
}

const crossing = [...graph].flatMap(([file, imports]) =>
  imports.filter(({ target }) => isOurs(target) && folderOf(target) !== folderOf(file)))
const lone = untested()
const rows: ReadonlyArray<readonly [string, string | number]> = [
  ['files in lib', files.length],
  ['files at the root of lib', files.filter((file) => !file.includes('/')).length],
  ...['lib', 'test', 'bench', 'example'].map((folder) =>
    [`lines over ${WIDTH} in ${folder} (strings, expressions and URLs)`, wideLines(folder)] as const),
  ['longest function', longestFunction()],
  ['longest file', sources.map((source) => `${source.getLineStarts().length - 1} lines: ${source.fileName}`)
    .sort((a, b) => Number.parseInt(b, 10) - Number.parseInt(a, 10))[0]!],
  ['as never', casts('never')],
  ['as unknown as', casts('unknown')],
  ['names declared in more than one file', sharedNames().length],
  ['files that no test imports itself', `${lone.length} of ${files.length}`],
  ['imports from another folder', crossing.length],
  ['documented', await documented()],
  ...ways().map((way) => ['the way of', way] as const)
]
for (const [what, figure] of rows) process.stdout.write(`${what}: ${figure}\n`)
