import { setTimeout as sleep } from 'node:timers/promises'
import type { Speech } from '../shared/messages.js'
import { eventData } from '../shared/payload.js'
import type { Dialect } from './dialect.js'
import type { LoadClient } from './load-client.js'

export interface Speaker {
  readonly client: LoadClient
  /** number of its room */
  readonly room: number
}

/** No id comes twice in one process. */
let messages = 0

/**
 * Has members speak.
 *
 * @param rooms how many there are
 * @returns messages by room
 */
export async function speak (
  speakers: readonly Speaker[],
  rooms: number,
  dialect: Dialect,
  { ms, hasIds, perSecond }: Speech
): Promise<number[]> {
  const sent = new Array<number>(rooms).fill(0)
  const say = ({ client, room }: Speaker): void => {
    sent[room]!++
    client.send(dialect.say(client.room, hasIds ? messages++ : undefined, eventData(false)))
  }
  if (perSecond === undefined) await speakInTurn(speakers, say, hasIds, ms)
  else await speakAtRate(speakers, say, perSecond, ms)
  return sent
}

/** Each speaks again as soon as its message is acked, or where it has no id, as soon as its event has arrived. */
async function speakInTurn (
  speakers: readonly Speaker[],
  say: (speaker: Speaker) => void,
  hasIds: boolean,
  ms: number
): Promise<void> {
  const end = performance.now() + ms
  await Promise.all(speakers.map((speaker) => new Promise<void>((resolve) => {
    const { client } = speaker
    const next = (): void => {
      if (performance.now() < end) say(speaker)
      else {
        client.onAck = client.onEvent = undefined
        resolve()
      }
    }
    if (hasIds) client.onAck = next
    else client.onEvent = next
    next()
  })))
}

/** One after another, so many in a second, whether they are answered or not. */
async function speakAtRate (
  speakers: readonly Speaker[],
  say: (speaker: Speaker) => void,
  perSecond: number,
  ms: number
): Promise<void> {
  const start = performance.now()
  const total = Math.floor(perSecond * ms / 1_000)
  for (let sent = 0; sent < total;) {
    const due = Math.min(total, Math.floor((performance.now() - start) * perSecond / 1_000))
    for (; sent < due; sent++) say(speakers[sent % speakers.length]!)
    await sleep(1)
  }
}
