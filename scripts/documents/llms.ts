import { existsSync, readdirSync, readFileSync } from 'node:fs'

const DOCS = new URL('../../docs/', import.meta.url)
const BASE = 'https://raw.githubusercontent.com/fastify-realtime/fastify-realtime/main/docs'
const AREAS = [
  ['tutorial', 'Tutorial: a support chat with a database, each step runs'],
  ['guides', 'Guides: one problem, one page'],
  ['operate', 'Operate'],
  ['explain', 'Explanations'],
  ['reference', 'Reference']
] as const

/** The first sentence of a page, without the marks of links and code. */
function firstSentence (text: string): string {
  const paragraph = text.replace(/^```[^]*?^```$/gm, '').split('\n\n').find((part) => /^[A-Z`"]/.test(part)) ?? ''
  const plain = paragraph.replaceAll('\n', ' ').replace(/\[([^\]]*)\]\([^)]*\)/g, '$1')
  return /^.{20,}?[.:](?= [A-Z]|$)/.exec(plain)?.[0].replace(/:$/, '.') ?? plain
}

function linesOf (folder: string): string[] {
  return readdirSync(new URL(`${folder}/`, DOCS)).filter((file) => file.endsWith('.md')).sort().map((file) => {
    const text = readFileSync(new URL(`${folder}/${file}`, DOCS), 'utf8')
    return `- [${/^# (.+)$/m.exec(text)![1]!}](${BASE}/${folder}/${file}): ${firstSentence(text)}`
  })
}

/** The list of all pages for programs that read them, in the form of llmstxt.org. */
export function llms (): string {
  return [
    '# fastify-realtime',
    '',
    '> Authenticated real-time rooms for Fastify 5: WebSocket, Server-Sent Events and long polling on one URL, with typed',
    '> messages, history, resume without loss, presence, acks, and adapters for Redis and NATS.',
    '',
    'Rules that keep code right: await the registration of the plugin; declare each room by defineRoom and app.room before',
    'the app is ready; give a room `authorize`; give a token an `exp`; store first and broadcast then; load a state by',
    '`room.snapshot` and `reply.position`. A skill for coding assistants is skills/fastify-realtime/SKILL.md.',
    ...AREAS.filter(([folder]) => existsSync(new URL(folder, DOCS))).flatMap(([folder, title]) => ['', `## ${title}`, '', ...linesOf(folder)]),
    ''
  ].join('\n')
}
