import { readFileSync } from 'node:fs'
import t from 'tap'
import realtime from '../../lib/index.js'
import { ROOT } from '../../scripts/matrix/tarball.js'

interface Manifest { readonly engines: { node: string }, readonly peerDependencies: Readonly<Record<string, string>> }

const { engines, peerDependencies } = JSON.parse(readFileSync(`${ROOT}package.json`, 'utf8')) as Manifest
const PAGE = readFileSync(`${ROOT}docs/reference/install.md`, 'utf8')

/** The cell of the table of the page "Install" that says which versions go. */
function stated (name: string): string {
  const row = PAGE.split('\n').find((line) => line.startsWith(`| ${name} |`))
  // A bar within a cell is written with a backslash.
  return row?.split(/(?<!\\)\|/)[2]?.replaceAll('\\|', '|').trim() ?? 'not in the table'
}

t.test('package.json, the plugin itself and the page on installing say the same range of fastify', async (t) => {
  const meta = (realtime as unknown as Record<symbol, { fastify: string }>)[Symbol.for('plugin-meta')]
  t.equal(meta?.fastify, peerDependencies.fastify)
  t.ok(stated('fastify').startsWith(`\`${peerDependencies.fastify!}\``), stated('fastify'))
})

t.test('the page on installing says the ranges of Node, ioredis and the packages of NATS that package.json says', async (t) => {
  t.equal(stated('Node'), `\`${engines.node}\``)
  t.ok(stated('ioredis').startsWith(`\`${peerDependencies.ioredis!}\``), stated('ioredis'))
  for (const name of ['@nats-io/transport-node', '@nats-io/jetstream', '@nats-io/kv']) {
    t.equal(peerDependencies[name], peerDependencies['@nats-io/kv'], name)
  }
  t.ok(stated('@nats-io/*').startsWith(`\`${peerDependencies['@nats-io/kv']!}\``), stated('@nats-io/*'))
  const typebox = stated('@sinclair/typebox')
  t.ok(typebox.startsWith(`\`${peerDependencies['@sinclair/typebox']!}\``), typebox)
})
