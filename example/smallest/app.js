import { randomBytes } from 'node:crypto'
import { Type } from '@sinclair/typebox'
import Fastify from 'fastify'
import realtime, { defineRoom } from 'fastify-realtime'

// A room for each chat: what pages may send there, and what the server tells everybody in it.
const chat = defineRoom('chat/:id', {
  messages: { say: Type.Object({ text: Type.String({ minLength: 1, maxLength: 2000 }) }) },
  events: { said: Type.Object({ text: Type.String(), by: Type.String() }) }
})

const app = Fastify({ logger: { level: 'warn' } })
await app.register(realtime, { jwt: { secret: process.env.JWT_SECRET ?? randomBytes(32).toString('hex') } })

app.room(chat, { // no `authorize`: every signed-in user may join
  on: {
    async say ({ data, userId, room }) {
      await room.broadcast('said', { text: data.text, by: userId })
    }
  }
})

// Who is it? Here whoever gives a name. Put your own login in its place.
app.get('/token', async ({ query }) => app.jwt.sign({ sub: query.name }, { expiresIn: '5m' }))

app.get('/', async (_request, reply) => await reply.type('text/html').send(`<!doctype html>
<title>Chat</title>
<form><input name="text" aria-label="Message" required autofocus> <button>Send</button></form>
<ul></ul>
<script type="module">
  import { connect } from '/ws/client.js'

  const name = prompt('Your name?')
  const token = async () => {
    const answer = await fetch('/token?name=' + encodeURIComponent(name))
    if (!answer.ok) throw new Error('/token answers ' + answer.status)   // the client tries again
    return await answer.text()
  }
  const room = connect('/ws', { token }).join('chat/42', { last: 20 })

  room.on('said', ({ data }) => {
    const line = document.createElement('li')
    line.textContent = data.by + ': ' + data.text
    document.querySelector('ul').append(line)
  })
  document.querySelector('form').onsubmit = async (event) => {
    event.preventDefault()
    const text = event.target.text.value
    event.target.reset()                         // at once, so that a second Enter sends nothing twice
    await room.send('say', { text }).catch((error) => {
      event.target.text.value = (text + ' ' + event.target.text.value).trim()
      alert(error.message)
    })
  }
</script>`))

console.log(await app.listen({ port: Number(process.env.PORT ?? 3000) }))
