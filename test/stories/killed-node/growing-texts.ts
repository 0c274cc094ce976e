import { setTimeout as sleep } from 'node:timers/promises'
import type { Test } from 'tap'
import type { Broker } from '../../helpers/brokers.js'
import { dial } from '../../helpers/client.js'
import { proxyTo } from '../../helpers/fault-proxy.js'
import { connect, start, TRANSPORTS, type Running, type TransportName } from '../../helpers/net.js'
import { declareTales, SECRET, taleOf, tales } from '../../helpers/node-process.js'
import { until, type Server } from '../../helpers/servers.js'
import { startVictim } from '../../helpers/victim.js'

/** Milliseconds after which the readers of a text know at the latest that its writer is gone. */
const LOST = 20_000

/** What a reader has of a text. */
class Read {
  text = ''
  added = ''
  readonly ends: unknown[] = []
}

function readTales (
  t: Test,
  node: Pick<Running, 'url' | 'token'>,
  transport: TransportName,
  user: string
): { joined: Promise<unknown>, of: (id: string) => Read } {
  const { client } = dial(t, node, user, { transports: [transport] })
  const texts = new Map<string, Read>()
  const of = (id: string): Read => texts.get(id) ?? texts.set(id, new Read()).get(id)!
  const room = client.join(tales.at({ id: '1' }))
  room.on('tale', ({ data: { id, text }, added, end }) => {
    const read = of(id)
    read.text = text
    read.added += added
    if (end !== undefined) read.ends.push(end)
  })
  return { joined: room.joined, of }
}

/** Texts that a node writes, and those that its readers have from another one, while it is killed. */
export async function growingTexts (t: Test, { make }: Broker, { url, port: brokerPort }: Server): Promise<void> {
  const victim = await startVictim(t, url)
  const other = await start(t, {
    jwt: { secret: SECRET },
    adapter: make(brokerPort),
    limits: { user: { connections: 20, then: 'reject' } },
    declare: declareTales
  })
  const token = (user: string): string => other.token(user, {}, 600)
  const { proxy, port } = await proxyTo(t, victim.port)
  const places = [{ at: 'here', url: other.url }, { at: 'there', url: `http://127.0.0.1:${port}` }]
  const readers = places.flatMap(({ at, url }) => TRANSPORTS.map((transport) => ({
    name: `one who read ${at} over ${transport}`,
    ...readTales(t, { url, token }, transport, `${at}-${transport}`)
  })))
  await Promise.all(readers.map(({ joined }) => joined))
  const asker = await connect(victim, { token: token('asker'), rooms: ['tales/1'] })
  for (const [id, isSilent] of [['doomed', false], ['silent', true]] as const) {
    asker.send({ type: 'tell', room: 'tales/1', id, data: { id, isSilent } })
    await asker.next('ack', (ack) => ack.id === id)
  }
  const writer = other.app.rooms.stream(tales.at({ id: '1' }), 'tale', { id: 'kept' })
  let whole = ''
  const write = async (words: number): Promise<void> => {
    for (let n = 0; n < words; n++) {
      const word = `${whole.length} `
      whole += word
      await writer.write(word)
      await sleep(5)
    }
  }
  await write(20)
  const have = (isSo: (of: (id: string) => Read) => boolean) => (): boolean => readers.every(({ of }) => isSo(of))
  await until('all have some', have((of) => of('doomed').text.length > 50 && of('kept').text !== ''))
  proxy.target = other.port
  await victim.kill()
  await write(50)
  await writer.end()
  const isLost = (id: string) => (of: (id: string) => Read): boolean => of(id).ends.includes('lost')
  await until(
    'all are told what is lost',
    have((of) => isLost('doomed')(of) && isLost('silent')(of) && of('kept').ends.length > 0),
    2 * LOST
  )
  const { text } = readers[0]!.of('doomed')
  t.ok(taleOf(10_000).startsWith(text), 'what is left is what was written first')
  for (const { name, of } of readers) {
    const [kept, doomed, silent] = [of('kept'), of('doomed'), of('silent')]
    t.same([kept.text, kept.added, kept.ends], [whole, whole, ['done']], `${name} has all of it, each part once`)
    t.same([doomed.text, doomed.added, doomed.ends], [text, text, ['lost']], `${name} has what the others have`)
    t.same([silent.text, silent.ends], ['', ['lost']])
  }
  const anew = await other.app.rooms.stream(tales.at({ id: '1' }), 'tale', { id: 'doomed' })
  await anew.write('anew')
  await anew.end()
  await until('all have the next one', have((of) => {
    const { text, ends } = of('doomed')
    return text === 'anew' && ends.at(-1) === 'done'
  }))
}
