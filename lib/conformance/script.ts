import type { Position } from '../protocol/position.js'
import { Conversation, Stray } from './conversation.js'
import type { KitTransport } from './link.js'
import type { ScriptedServer } from './server.js'

/** Milliseconds that the server asks a client to wait, and how many fewer are let pass as a difference of clocks. */
const ASKED = 1_000
const SLACK = 100

/** Says what is wrong; nothing where all is right. */
type Verdict = string | undefined

/** One thing that a client has to do. */
export interface Step {
  readonly title: string
  /** Absent for what every client has to do. */
  readonly only?: KitTransport
  /**
   * @param watched milliseconds for which a client that is not to come back is watched
   * @throws Stray where what follows cannot be tried
   */
  readonly run: (talk: Conversation, server: ScriptedServer, watched: number) => Promise<Verdict>
}

/** Expects the message that the application sends for a step. */
async function hears (talk: Conversation, n: number): Promise<Verdict> {
  const { type, data } = await talk.heard()
  const got = (data as { n?: unknown } | undefined)?.n
  if (type === 'heard' && got === n) return undefined
  throw new Stray(`step ${n} was to be heard next, got ${type} ${JSON.stringify(data)}`)
}

async function hearsOfLoss (talk: Conversation): Promise<Verdict> {
  const { type, data } = await talk.heard()
  if (type === 'lost') return undefined
  throw new Stray(`the application was to be told of lost events, got ${type} ${JSON.stringify(data)}`)
}

function resumes (since: Position | undefined, { epoch, offset }: Position): Verdict {
  if (since?.epoch === epoch && since.offset === offset) return undefined
  return `it was to join at { epoch: '${epoch}', offset: ${offset} }, the last that it had, got ${JSON.stringify(since)}`
}

const STEPS: readonly Step[] = [
  {
    title: 'it joins the room by the URL or behind the welcome; for a WebSocket it offers the subprotocol realtime.v1',
    async run (talk) {
      const attempt = await talk.attempt()
      const since = await talk.enter(attempt)
      if (attempt.fault !== undefined) return attempt.fault
      return since === undefined ? undefined : `it has no position to resume at, and gave ${JSON.stringify(since)}`
    }
  },
  {
    title: 'it gives events to the application in order; a hole between offsets is no loss',
    async run (talk) {
      const steps = [talk.tell(), talk.tell(3), talk.tell()]
      for (const n of steps) await hears(talk, n)
      return undefined
    }
  },
  {
    title: 'it drops an event whose offset it has had',
    async run (talk) {
      talk.repeat()
      return await hears(talk, talk.tell())
    }
  },
  {
    title: 'it ignores frames that it does not know, and goes on',
    async run (talk) {
      talk.link.send({ type: 'novelty', room: 'another/room', data: [1], more: { deep: true } })
      talk.link.send({ type: 'novelty', data: null })
      return await hears(talk, talk.tell())
    }
  },
  {
    title: 'it answers a ping with a pong',
    async run (talk) {
      talk.link.send({ type: 'ping' })
      await talk.next('pong')
      return undefined
    }
  },
  {
    title: 'it sends a message again under the same id when the server asks it to wait, and not before',
    async run (talk) {
      talk.tell()
      const first = await talk.heard(false)
      const refused = performance.now()
      talk.refuse(first, { statusCode: 429, code: 'rate_limited', retryAfter: ASKED })
      const again = await talk.heard()
      const waited = performance.now() - refused
      if (again.id !== first.id) return `its id was ${first.id!}, and is ${again.id!}: it would take effect twice`
      return waited >= ASKED - SLACK ? undefined : `it waited ${Math.round(waited)} ms of ${ASKED}`
    }
  },
  {
    title: 'it sends a message again under the same id when its request breaks, while the stream stands',
    only: 'sse',
    async run (talk) {
      const n = talk.tell()
      const first = await talk.heard(false)
      talk.link.breakOff!(first)
      const again = await talk.heard()
      return again.id === first.id ? undefined : `message ${first.id!} for step ${n} came again as ${again.id!}`
    }
  },
  {
    title: 'when the link breaks it comes back at its position, and sends what was not acknowledged again, once',
    async run (talk) {
      const n = talk.tell()
      const first = await talk.heard(false)
      talk.link.cut()
      const since = await talk.enter(await talk.attempt())
      const again = await talk.heard()
      if (again.id !== first.id) throw new Stray(`message ${first.id!} for step ${n} came again as ${again.id!}`)
      await hears(talk, talk.tell())
      return resumes(since, { ...talk.position, offset: talk.position.offset - 1 })
    }
  },
  {
    title: 'it tells the application when the server cannot resume it, and goes on at the new position',
    async run (talk) {
      talk.link.cut()
      const { position } = talk
      const since = await talk.enter(await talk.attempt(), position.offset + 50)
      await hearsOfLoss(talk)
      await hears(talk, talk.tell())
      return resumes(since, position)
    }
  },
  {
    title: 'it tells the application of a gap, and takes the position from it',
    async run (talk) {
      talk.gap()
      await hearsOfLoss(talk)
      const { position } = talk
      talk.link.cut()
      const since = await talk.enter(await talk.attempt())
      await hears(talk, talk.tell())
      return resumes(since, position)
    }
  },
  {
    title: 'after a drain it comes back at its position, and tells of no loss',
    async run (talk) {
      talk.link.send({ type: 'drain', data: { retryAfter: 100 } })
      const n = talk.tell()
      await hears(talk, n)
      const { position } = talk
      talk.link.close(1001, 'draining')
      const since = await talk.enter(await talk.attempt())
      await hears(talk, talk.tell())
      return resumes(since, position)
    }
  },
  {
    title: 'when a link is refused for a time it waits as long as it is asked to, and tries again',
    async run (talk, server) {
      const { position } = talk
      server.refusal = { statusCode: 503, code: 'unavailable', retryAfter: ASKED }
      talk.link.cut()
      const refused = await talk.attempt()
      refused.refuse(server.refusal)
      const next = await talk.attempt()
      server.refusal = undefined
      const since = await talk.enter(next)
      await hears(talk, talk.tell())
      const waited = next.at - refused.at
      if (waited < ASKED - SLACK) return `it waited ${Math.round(waited)} ms of ${ASKED}`
      return resumes(since, position)
    }
  },
  {
    title: 'it comes back after an error that says so, and the end of the link (44xx)',
    async run (talk) {
      const { position } = talk
      talk.link.send({
        type: 'error',
        data: { code: 'slow_consumer', message: 'reads too slowly', retry: 'backoff' }
      })
      talk.link.close(4410, 'slow_consumer')
      const since = await talk.enter(await talk.attempt())
      await hears(talk, talk.tell())
      return resumes(since, position)
    }
  },
  {
    title: 'it does not come back after an error that says never, and the end of the link (45xx)',
    async run (talk, server, watched) {
      talk.link.send({ type: 'error', data: { code: 'revoked', message: 'access was revoked', retry: 'never' } })
      talk.link.close(4503, 'revoked')
      const attempt = await talk.quiet(watched)
      return attempt === undefined ? undefined : `it opened another ${server.asked}`
    }
  }
]

/** The steps for a client, in order; each begins where the one before it ended. */
export function scriptOf (transport: KitTransport): readonly Step[] {
  return STEPS.filter(({ only = transport }) => only === transport)
}
