import { join } from 'node:path'
import { missing } from '../../../test/helpers/servers.js'
import { absent, type Row } from '../table.js'
import type { Workspace } from '../workspace.js'

/** Tests that see each transport, the upgrade, the host's parts and the client; some minutes together. */
const CORE = ['plugin/plugin', 'server/foreign-upgrades', 'stories/host-parts', 'client/links', 'client/errors']
const HOST = ['plugin/plugin', 'stories/host-parts']
const REDIS = ['adapters/redis/adapter', 'adapters/redis/cluster']

interface Count { passed: number, readonly wrong: string[] }

async function count (workspace: Workspace, files: readonly string[], node: string): Promise<Count> {
  const total: Count = { passed: 0, wrong: [] }
  for (const file of files) {
    const { code, output } = await workspace.test(`${file}.test.ts`, node)
    total.passed += output.match(/^ok \d+/gm)?.length ?? 0
    const titles = [...output.matchAll(/^not ok \d+ - (.+?)(?: # time.*)?$/gm)].map(([, title]) => `${file}: ${title!}`)
    const end = output.trim().slice(-200)
    if (code !== 0 && titles.length === 0) titles.push(`${file} ended with ${code ?? 'no code in time'}: ${end}`)
    total.wrong.push(...titles)
  }
  return total
}

async function row (
  workspace: Workspace, what: string, version: string, files: readonly string[], node: string
): Promise<Row> {
  const { passed, wrong } = await count(workspace, files, node)
  const fault = `FAILED: ${wrong.length} of ${passed + wrong.length}: ${wrong.join('; ')}`
  return { what, version, ran: files.join(', '), result: wrong.length === 0 ? `passes, ${passed} tests` : fault }
}

/** The core of the suite on each version of Node, of Fastify and of ioredis. */
export async function * coreRows (workspace: Workspace): AsyncGenerator<Row, void, undefined> {
  yield await row(workspace, 'Node', process.versions.node, CORE, process.execPath)
  let modern = process.execPath
  for (const major of ['22', '24', '26']) {
    try {
      const node = join(await workspace.aside(`node-${major}`, `node@${major}`), 'node_modules/.bin/node')
      const version = (await workspace.program(node, '-p', 'process.versions.node')).trim()
      modern = node
      yield await row(workspace, 'Node', version, CORE, node)
    } catch (error) {
      yield { what: 'Node', version: major, ran: '', result: absent(error) }
    }
  }
  for (const wanted of ['5.0.0', '5.8.5', '6.0.0-alpha.4', 'latest']) {
    try {
      await workspace.install(`fastify@${wanted}`)
    } catch (error) {
      yield { what: 'fastify', version: wanted, ran: '', result: absent(error) }
      continue
    }
    // Version 6 needs a Node that is newer than 20.
    const node = wanted.startsWith('6') ? modern : process.execPath
    yield await row(workspace, 'fastify', await workspace.versionOf('fastify'), HOST, node)
  }
  const without = missing('redis-server')
  for (const wanted of ['5.8.2', '5', '6']) {
    try {
      if (without !== false) throw new Error(without)
      await workspace.install(`ioredis@${wanted}`)
    } catch (error) {
      yield { what: 'ioredis', version: wanted, ran: '', result: absent(error) }
      continue
    }
    yield await row(workspace, 'ioredis', await workspace.versionOf('ioredis'), REDIS, process.execPath)
  }
}
