import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import ts from 'typescript'

const at = (path: string): string => fileURLToPath(new URL(path, import.meta.url))

/** What was parsed, for the next program: most of it is the declarations of the platform and of packages. */
const parsed = new Map<string, ts.SourceFile | undefined>()

function compile (config: string, more: Record<string, string> = {}): string[] {
  const { options, fileNames } = ts.getParsedCommandLineOfConfigFile(at(config), {}, {
    ...ts.sys,
    onUnRecoverableConfigFileDiagnostic: (fault) => { throw new Error(String(fault.messageText)) }
  })!
  const host = ts.createCompilerHost(options)
  const { readFile, fileExists } = host
  host.readFile = (name) => more[name] ?? readFile(name)
  host.fileExists = (name) => name in more || fileExists(name)
  const { getSourceFile } = host
  host.getSourceFile = (name, ...rest) => {
    if (more[name] !== undefined) return ts.createSourceFile(name, more[name], ts.ScriptTarget.ES2022, true)
    if (!parsed.has(name)) parsed.set(name, getSourceFile(name, ...rest))
    return parsed.get(name)
  }
  const program = ts.createProgram([...fileNames, ...Object.keys(more)], options, host)
  return ts.getPreEmitDiagnostics(program).map(({ file, start, messageText }) => {
    const text = ts.flattenDiagnosticMessageText(messageText, ' ')
    if (file === undefined) return text
    return `${file.fileName.split('/').at(-1)!}:${file.getLineAndCharacterOfPosition(start!).line + 1} ${text}`
  })
}

t.test('the apps of the documentation compile, and a program that must not compile does not', async (t) => {
  const wrong = at('../api/wrong.ts')
  const faults = compile('../api/tsconfig.json', {
    [wrong]: `
      import { orders } from './5-existing.js'
      import Fastify from 'fastify'
      const app = Fastify()
      app.rooms.broadcast(orders.at({ shop: 'a' }), 'created', { id: 1 })
      app.rooms.broadcast(orders.at({ shop: 1 }), 'created', { id: '1' })
      app.room(orders, { authorize: ({ user }) => user.nope })
    `
  })
  t.match(faults, [/^wrong\.ts:5 /, /^wrong\.ts:6 /, /^wrong\.ts:7 /])
  t.equal(faults.length, 3, 'the apps have none')
})

t.test('types are inferred from the contract, and what must not compile does not, wrong frames above all', async (t) => {
  t.same(compile('../types/tsconfig.json'), [])
  for (const [file, errors] of [['inference', 39], ['frames', 8], ['schemas', 15], ['hooks', 6]] as const) {
    t.equal(
      readFileSync(at(`../types/${file}.ts`), 'utf8').match(/@ts-expect-error/g)?.length,
      errors,
      `no expected error of ${file} was lost`
    )
  }
})
