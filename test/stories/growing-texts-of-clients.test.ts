import { Type } from '@sinclair/typebox'
import t from 'tap'
import { connect } from '../../lib/client/index.js'
import { defineRoom } from '../../lib/index.js'
import { start, TRANSPORTS } from '../helpers/net.js'

const ai = defineRoom('ai/:id', {
  events: {
    answer: { data: Type.Object({ id: Type.String(), text: Type.String() }), delivery: 'append', key: 'id', append: 'text' }
  }
})

for (const transport of TRANSPORTS) {
  t.test(`a client over ${transport} has each text whole after breaks, and is sent only what it does not have`, async (t) => {
    const server = await start(t, { declare: (app) => { app.room(ai, { flush: 2 }) } })
    const { rooms } = server.app
    const writer = rooms.stream(ai.at({ id: '1' }), 'answer', { id: 'a' })
    const client = connect(`${server.url}/ws`, { token: server.token('ada'), transports: [transport] })
    t.teardown(() => { client.close() })
    const room = client.join(ai.at({ id: '1' }))
    const seen: Array<{ text: string, added: string }> = []
    let added = ''
    const ended = new Promise((resolve) => {
      room.on('answer', ({ data, added: more, end }) => {
        seen.push({ text: data.text, added: more })
        added += more
        if (end !== undefined) resolve(end)
      })
    })
    const parts: string[] = []
    const reading = (async () => {
      for await (const part of room.stream('answer', 'a')) parts.push(part)
    })()
    await room.joined
    const bytesOut = async (): Promise<number> => {
      return (await rooms.stats() as { events: { bytesOut: number } }).events.bytesOut
    }
    let whole = ''
    const write = async (text: string): Promise<void> => {
      whole += text
      await writer.write(text)
    }
    const arrived = async (): Promise<void> => {
      while (seen.at(-1)?.text !== whole) await new Promise((resolve) => setTimeout(resolve, 2))
    }
    for (let round = 0; round < 3; round++) {
      for (let index = 0; index < 10; index++) await write(`${round}-${index} `)
      await write('x'.repeat(1_000))
      await arrived()
      const before = await bytesOut()
      client.reconnect()
      await write(`${round} `)
      await arrived()
      const sent = await bytesOut() - before
      t.ok(sent < whole.length, `${sent} bytes of a text of ${whole.length}: what it has does not come again`)
    }
    await writer.end()
    t.equal(await ended, 'done')
    await reading
    t.equal(added, whole)
    t.equal(parts.join(''), whole)
    t.same(seen.at(-1)!.text, whole)
  })
}
