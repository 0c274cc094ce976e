/** The process of the members: it reads frames by their first bytes, so that the server is what limits. */
import { WebSocket } from 'ws'
import { tokenOf } from '../shared/token.js'
import type { Ask } from './crowd.js'

interface Member { readonly socket: WebSocket, readonly room: string, onAck: () => void }

const members: Member[] = []
let events = 0
let due: { readonly events: number, readonly done: () => void } | undefined

function heard (member: Member, frame: Buffer): void {
  const start = frame.toString('latin1', 0, 14)
  if (start === '{"type":"said"') {
    events++
    if (due !== undefined && events >= due.events) {
      const { done } = due
      due = undefined
      done()
    }
  } else if (start.startsWith('{"type":"ack"')) member.onAck()
}

async function join (port: number, index: number, rooms: number): Promise<void> {
  const room = `chat/${index % rooms}`
  const socket = new WebSocket(`ws://127.0.0.1:${port}/ws/${room}`, {
    headers: { authorization: `Bearer ${tokenOf(index)}` }
  })
  const member: Member = { socket, room, onAck: () => {} }
  await new Promise<void>((resolve, reject) => {
    socket.once('message', () => { resolve() })
    socket.once('error', reject)
  })
  socket.on('message', (frame: Buffer) => { heard(member, frame) })
  members.push(member)
}

async function speak (messages: number, speakers: number): Promise<void> {
  await Promise.all(members.slice(0, speakers).map(async (member) => await new Promise<void>((resolve) => {
    let said = 0
    const next = (): void => {
      if (said === messages) return resolve()
      member.socket.send(JSON.stringify({
        type: 'say',
        room: member.room,
        id: `${member.room}-${Math.random().toString(36).slice(2)}`,
        data: { text: 'a message of a chat, of about a hundred characters, as people write them when they are in a hurry' }
      }))
      said++
    }
    member.onAck = next
    next()
  })))
}

async function waitFor (count: number): Promise<void> {
  if (events < count) await new Promise<void>((resolve) => { due = { events: count, done: resolve } })
  events -= count
}

// A member that cannot come would be waited for without an end.
process.on('unhandledRejection', (error) => { throw error })
process.on('disconnect', () => { process.exit() })
process.on('message', (question: Ask) => {
  void (async () => {
    if (question.ask === 'connect') {
      const { port, members: all, rooms } = question
      for (let index = 0; index < all; index += 50) {
        const some = Array.from({ length: Math.min(50, all - index) }, (_, offset) => join(port, index + offset, rooms))
        await Promise.all(some)
      }
    } else if (question.ask === 'await') await waitFor(question.events)
    else await speak(question.messages, question.speakers)
    process.send!('done')
  })()
})
