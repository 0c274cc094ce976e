'use strict'
/**
 * An app, and a client of it over each transport, out of what the package's entry points export: seen to fit however
 * they were loaded. Prints one line, `SMOKE` and a JSON object by transport.
 */
module.exports = async function smoke (parts) {
  for (const [name, part] of Object.entries(parts)) {
    if (typeof part !== 'function' && name !== 'Type') throw new TypeError(`${name} is ${typeof part}`)
  }
  const { Fastify, Type, realtime, defineRoom, memory, connect, contract, createPeer } = parts
  const text = Type.Object({ text: Type.String() })
  const chat = contract('chat/:id', { messages: { say: text }, events: { said: text } })
  const app = Fastify()
  await app.register(realtime, { jwt: { secret: 'of the matrix' }, adapter: memory() })
  app.room(chat, { on: { async say ({ data, room }) { await room.broadcast('said', data) } } })
  app.room(defineRoom('board', { events: { metric: Type.Object({ value: Type.Number() }) } }))
  await app.listen({ port: 0, host: '127.0.0.1' })
  const token = app.jwt.sign({ sub: 'ada' }, { expiresIn: 60 })
  const heard = {}
  for (const transport of ['websocket', 'sse', 'polling']) {
    const client = connect(`http://127.0.0.1:${app.server.address().port}/ws`, { token, transports: [transport] })
    const room = client.join(chat.at({ id: transport }))
    const answer = new Promise((resolve, reject) => {
      room.on('said', ({ data }) => { resolve(data.text) })
      client.on('error', reject)
      setTimeout(reject, 10_000, new Error(`no event over ${transport}`)).unref()
    })
    await room.joined
    await room.send('say', { text: client.transport })
    heard[transport] = await answer === transport
    client.close()
  }
  const peer = await createPeer(app, { token, room: 'board' })
  await peer.close()
  await app.close()
  console.log(`SMOKE ${JSON.stringify(heard)}`)
}
