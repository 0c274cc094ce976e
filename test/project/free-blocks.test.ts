import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import { run } from '../../scripts/matrix/run.js'
import { blocksOf, PAGES, ROOT, type Block } from '../helpers/documents.js'

/** A block of JavaScript that quotes no file, and what the reader's app or page has around it. */
interface Free {
  readonly page: string
  /** How the block begins. */
  readonly begins: string
  /** TypeScript whose exports the block takes. */
  readonly around: string
  /** What the reader does with the block. */
  readonly after?: string
}

const CLIENT = `
  import { connect as open, type Client } from 'fastify-realtime/client'
  export declare const client: Client
  export declare const connect: typeof open
  export declare function show (text: string): void`
/** A room that is joined by its name has the types that a page gives it, which JavaScript does not. */
const NAMED = `
  import { connect as open } from 'fastify-realtime/client'
  type Named = Omit<ReturnType<typeof open>, 'join'> & {
    join (...given: Parameters<ReturnType<typeof open>['join']>): {
      on (event: string, listener: (event: { readonly data: { readonly text: string, readonly what: string } }) => void): () => void
    }
  }
  export declare const client: Named
  export declare function connect (...given: Parameters<typeof open>): Named`
const APP = `
  import 'fastify-realtime'
  import type { FastifyInstance } from 'fastify'
  export declare const app: FastifyInstance
  export declare const log: { info (error: unknown): void, error (error: unknown): void }`
const INBOX = `
  import { Type as T } from '@sinclair/typebox'
  import { defineRoom as define } from 'fastify-realtime'
  const inbox = define('@user/:id', {
    events: { confirm: { data: T.Object({ order: T.String() }), reply: T.Object({ accepted: T.Boolean() }) } }
  })
  export const inboxRoom = client.join(inbox.at({ id: 'ada' }))
  export const [Type, defineRoom] = [T, define] as const`

const FREE: readonly Free[] = [
  {
    page: 'docs/guides/ai-sdk.md',
    begins: 'const transport =',
    around: `${CLIENT}
      export { createChatTransport } from 'fastify-realtime/ai'
      export { ai } from 'ROOT/example/ai-sdk/rooms.js'`
  },
  {
    page: 'docs/guides/ai-token-streams.md',
    begins: 'const answering =',
    around: `${APP}
      export { randomUUID } from 'node:crypto'
      export { assistant } from 'ROOT/example/ai/rooms.js'
      export declare function ask (question: string, signal: AbortSignal): AsyncIterable<string>`,
    after: 'app.room(assistant, { on: { ...on, stop () {} } })'
  },
  {
    page: 'docs/guides/authentication.md',
    begins: 'async function open (since)',
    around: 'export declare const token: string',
    after: 'await open()'
  },
  {
    page: 'docs/guides/from-socket-io.md',
    begins: 'const here =',
    around: `${APP}
      export declare const room: string
      export declare const seats: Array<{ readonly userId: string }>`
  },
  { page: 'docs/guides/from-socket-io.md', begins: "const room = client.join('tables/7')", around: CLIENT },
  { page: 'docs/guides/from-socket-io.md', begins: 'await new Promise(', around: CLIENT },
  {
    page: 'docs/guides/guests.md',
    begins: 'const token = sessionStorage',
    around: `${CLIENT}
      export declare function login (): Promise<string>`
  },
  { page: 'docs/guides/guests.md', begins: 'let newest', around: CLIENT, after: 'await load()' },
  {
    page: 'docs/guides/history-from-your-database.md',
    begins: 'const queues =',
    around: `
      export declare const params: { readonly id: string }
      export declare const line: { readonly text: string }
      export declare const lines: { insert (room: string, given: typeof line): Promise<{ readonly place: number }> }
      export declare const room: { broadcast (event: 'said', data: { readonly place: number }): Promise<unknown> }`
  },
  {
    page: 'docs/guides/notifications.md',
    begins: 'const inbox = client.join(',
    around: `${NAMED}
      export declare const user: string
      export declare function notify (text: string): void`
  },
  {
    page: 'docs/guides/slow-links.md',
    begins: 'button.addEventListener(',
    around: `${CLIENT}
      export declare const button: HTMLButtonElement
      export declare const id: string
      export declare const alarm: { readonly id: string }
      export declare const token: string`
  },
  { page: 'docs/guides/smallest-app.md', begins: "const answer = await fetch('/token?name=ada')", around: '' },
  { page: 'docs/guides/streams.md', begins: 'throw Object.assign(', around: '' },
  {
    page: 'docs/guides/streams.md',
    begins: 'writer.from(tokensOf(',
    around: `${APP}
      import { assistant as room } from 'ROOT/example/readme/streams.js'
      export const assistant = room
      export const writer = await app.rooms.stream(room.at({ id: 'ada' }), 'answer', { id: 'a', model: 'fake' })
      export declare function tokensOf (question: string, signal: AbortSignal): AsyncIterable<string>
      export declare const [params, data, messageId]: [{ readonly id: string }, { readonly question: string }, string]
      export declare const answers: {
        insert (row: { id: string, text: string | undefined, end: unknown }): Promise<void>
      }`
  },
  {
    page: 'docs/guides/streams.md',
    begins: 'async function * saved (',
    around: `${APP}
      export declare const tokens: AsyncIterable<string>`,
    after: 'for await (const part of saved(tokens, async () => {})) log.info(part)'
  },
  {
    page: 'docs/operate/shutdown.md',
    begins: 'app.addHook(',
    around: `${APP}
      import plugin, { type RealtimeOptions } from 'fastify-realtime'
      export const realtime = plugin
      export declare const options: RealtimeOptions
      export declare const pool: { end (): Promise<void> }
      export declare const growing: Map<string, Promise<void>>`
  },
  { page: 'docs/reference/client.md', begins: '<script type="module">', around: NAMED },
  {
    page: 'docs/reference/client.md',
    begins: 'const script = await readFile(',
    around: `${APP}
      export { readFile } from 'node:fs/promises'`
  },
  {
    page: 'docs/reference/server-api.md',
    begins: 'const hashOf =',
    around: `${APP}
      export { createHash, timingSafeEqual } from 'node:crypto'`
  },
  { page: 'docs/reference/rooms.md', begins: 'const inbox = defineRoom(', around: `${APP}${CLIENT}${INBOX}` },
  { page: 'docs/reference/rooms.md', begins: 'let { position, events } =', around: APP },
  { page: 'docs/reference/rooms.md', begins: 'let cursor', around: APP }
]

const blocks = PAGES.flatMap(blocksOf)
  .filter(({ language, quoted }) => quoted === undefined && (language === 'js' || language === 'html'))

function isOf ({ path, text }: Block, { page, begins }: Free): boolean {
  return path === page && text.trimStart().startsWith(begins)
}

/** The names that a module exports. */
function exportsOf (text: string): string[] {
  const lists = [...text.matchAll(/^\s*export (?:declare )?(?:const )?[[{] ?([^\]}]*?) ?[\]}]/gm)]
    .flatMap(([, list]) => list!.split(',').map((each) => each.trim().split(' as ').at(-1)!))
  const single = [...text.matchAll(/^\s*export (?:declare )?(?:const|function) (\w+)/gm)].map(([, name]) => name!)
  return [...lists, ...single]
}

/** The JavaScript of a block; that of a page stands in its modules. */
function scriptOf ({ language, text }: Block): string {
  if (language === 'js') return text
  const scripts = [...text.matchAll(/<script type="module">([^]*?)<\/script>/g)].map(([, each]) => each!)
  // The module that the server gives has no types beside it.
  return scripts.join('\n').replace(/^\s*import \{ connect \} from '\/ws\/client\.js'$/m, '')
}

t.test('JavaScript that quotes no file compiles against the types of the package, between what a reader has around it', async (t) => {
  const unknown = blocks.filter((block) => FREE.filter((free) => isOf(block, free)).length !== 1)
  t.same(unknown.map(({ path, line }) => `${path}:${line}`), [], 'each is one of FREE')
  t.same(FREE.filter((free) => !blocks.some((block) => isOf(block, free))), [], 'each of FREE is on its page')
  const folder = t.testdir()
  await mkdir(folder, { recursive: true })
  const write = async (name: string, text: string): Promise<void> => { await writeFile(join(folder, name), text) }
  for (const [at, free] of FREE.entries()) {
    const block = blocks.find((each) => isOf(each, free))!
    const around = free.around.replaceAll('ROOT/', ROOT)
    await write(`around-${at}.ts`, `${around}\nexport {}\n`)
    const names = exportsOf(around).filter((name) => new RegExp(`\\b${name}\\b`).test(`${block.text}${free.after}`))
    // What a block does not use stays out, since it may have a name of its own.
    const imported = names.filter((name) => !new RegExp(`\\b(?:const|let|function) ${name}\\b`).test(block.text))
    await write(`block-${at}.js`, [
      `import { ${imported.join(', ')} } from './around-${at}.js'`,
      scriptOf(block),
      free.after ?? '',
      'export {}'
    ].join('\n'))
  }
  await write('tsconfig.json', JSON.stringify({
    extends: join(ROOT, 'tsconfig.json'),
    compilerOptions: {
      lib: ['es2023', 'dom', 'dom.iterable'],
      rootDir: ROOT,
      checkJs: true,
      allowJs: true,
      noImplicitAny: false,
      erasableSyntaxOnly: false,
      typeRoots: [join(ROOT, 'node_modules/@types')]
    },
    include: ['*.js', '*.ts'],
    exclude: []
  }))
  const { code, output } = await run(process.execPath, [join(ROOT, 'node_modules/typescript-7/bin/tsc'), '-p', folder], { cwd: folder })
  const places = output.replaceAll(/block-(\d+)\.js/g, (name, at: string) => `${FREE[Number(at)]!.page} "${FREE[Number(at)]!.begins}" (${name})`)
  t.equal(code, 0, places)
})
