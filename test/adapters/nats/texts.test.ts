import { jetstreamManager } from '@nats-io/jetstream'
import { connect } from '@nats-io/transport-node'
import t from 'tap'
import type { RoomSettings, TextWritten } from '../../../lib/adapters/adapter.js'
import { node } from '../../../lib/adapters/contract/host.js'
import { nats } from '../../../lib/adapters/nats/adapter.js'
import { grown, type Part } from '../../../lib/protocol/part.js'
import { missing, startNats } from '../../helpers/servers.js'

const settings: RoomSettings = {
  history: false,
  latest: false,
  append: { size: 1_048_576, ttl: 60_000 },
  definition: 'ai/:id'
}

t.test('nats: a text of many steps is written again as a whole now and then, and no message is left behind that', {
  skip: missing('nats-server'),
  timeout: 60_000
}, async (t) => {
  const { port } = await startNats(t)
  const [a, b] = await Promise.all(['a', 'b'].map(async (id) => await node(t, nats({ url: `nats://127.0.0.1:${port}` }), id)))
  await b!.adapter.subscribe('ai/1', settings)
  let whole = ''
  const step = async (inside: string, from: number, number: number): Promise<TextWritten> =>
    await a!.adapter.texts!.write('ai/1', {
      type: 'answer',
      key: 'a',
      timestamp: 1,
      writer: 'one',
      number,
      lease: 60_000,
      part: { before: '{"id":"a","text":"', inside, isList: false, from, to: from + inside.length }
    }, settings)
  await step('', 0, 0)
  let repairs = 0
  for (let number = 1; number <= 600; number++) {
    const inside = `${number} `
    const written = await step(inside, whole.length, number)
    whole += inside
    if (written === 'behind') {
      repairs++
      t.equal(await step(whole, 0, number), 'written')
    } else if (written !== 'written') t.fail(written)
  }
  t.equal(repairs, 2)
  const messages = await messagesOf(port, 'realtime_texts')
  t.ok(messages < 300, `${messages} messages`)
  t.equal((await b!.adapter.texts!.read('ai/1', settings))[0]!.part.inside, whole)
  let heard: Part | undefined
  for (const { event } of b!.host.events.get('ai/1')!) heard = grown(heard, event!.part!)
  t.equal(heard!.inside, whole)
})

async function messagesOf (port: number, stream: string): Promise<number> {
  const connection = await connect({ servers: `nats://127.0.0.1:${port}` })
  const { state: { messages } } = await (await jetstreamManager(connection)).streams.info(stream)
  await connection.close()
  return messages
}
