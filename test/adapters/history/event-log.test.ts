import { isDeepStrictEqual } from 'node:util'
import fc from 'fast-check'
import t from 'tap'
import { EventLog } from '../../../lib/adapters/history/event-log.js'
import { encodeEvent, type EventHead, type Packet } from '../../../lib/protocol/packet.js'

const EPOCH = 'abcdefgh'

function event (offset: number, head: Partial<EventHead> = {}, text = 'x'): Packet {
  const position = { epoch: EPOCH, offset }
  return encodeEvent(
    { type: 'said', room: 'r/1', delivery: 'reliable', timestamp: 1_700_000_000_000, ...head, position },
    JSON.stringify(text)
  )
}

/** What a reader can see of a packet; a field that is undefined is as good as absent. */
function seen (packet: Packet): unknown {
  const { bytes, room, position, isReplay, event } = packet
  return JSON.parse(JSON.stringify({ text: bytes.toString('utf8'), sse: packet.sse.toString(), room, position, isReplay, event }))
}

t.test('what is read is what was kept: its bytes, its position and all of its head', async (t) => {
  const log = new EventLog()
  const packets = [
    event(1),
    event(2, { type: 'cursor', delivery: 'volatile' }, 'ä\u2028€😀'),
    event(5, { except: { connection: 'c1', user: 'ada: "\n' }, key: 'ключ' }),
    event(6, { timestamp: 12.5 }),
    event(7, { timestamp: Number.MAX_SAFE_INTEGER }),
    event(2 ** 40, { timestamp: -1 }, 'x'.repeat(70_000)),
    event(2 ** 53 - 2, {}, 'y'.repeat(200))
  ]
  for (const [index, packet] of packets.entries()) log.append(packet, index * 2 ** 33)
  t.same(log.newest(100, 100, undefined, EPOCH).events.map(seen), packets.map(seen))
  t.same(log.after(6, 2, undefined, EPOCH).events.map(seen), packets.slice(4, 6).map(seen))
})

t.test('property: a log reads like a list of its events, whatever is appended, dropped and asked for', async (t) => {
  const step = fc.record({
    skip: fc.integer({ min: 1, max: 3 }),
    text: fc.string({ maxLength: 400 }),
    wait: fc.integer({ min: -5_000, max: 2 ** 32 }),
    shifts: fc.nat(3),
    except: fc.option(fc.record({ connection: fc.string({ minLength: 1 }), user: fc.string() }), { nil: undefined }),
    type: fc.constantFrom('said', 'moved', 'left')
  })
  const questions = fc.array(
    fc.record({ since: fc.nat(300), limit: fc.nat(20), bytes: fc.option(fc.nat(2_000), { nil: undefined }) }),
    { maxLength: 5 }
  )
  fc.assert(fc.property(fc.array(step, { maxLength: 120, size: 'max' }), questions, (steps, asked) => {
    const log = new EventLog()
    let list: Array<{ packet: Packet, at: number }> = []
    let [offset, at] = [0, 0]
    for (const { skip, text, wait, shifts, except, type } of steps) {
      offset += skip
      at += wait
      const packet = event(offset, { except, type, timestamp: at }, text)
      log.append(packet, at)
      list.push({ packet, at })
      for (let left = shifts - 1; left > 0; left--) {
        if (log.shift() !== list[0]?.packet.position!.offset) return false
        list = list.slice(1)
      }
      if (log.length !== list.length || log.oldest !== list[0]?.at) return false
      if ((log.bytes === 0) !== (list.length === 0)) return false
    }
    return asked.every(({ since, limit, bytes }) => {
      const behind = list.filter(({ packet }) => packet.position!.offset > since)
      const newest = list.slice(Math.max(0, list.length - since))
      return isSame(log.after(since, limit, bytes, EPOCH), behind, limit, bytes) &&
        isSame(log.newest(since, limit, bytes, EPOCH), newest, limit, bytes)
    })
  }), { numRuns: 200 })
  t.pass('200 runs')
})

function isSame (
  { events, isPart }: { events: Packet[], isPart: boolean },
  from: ReadonlyArray<{ packet: Packet }>,
  limit: number,
  most = Number.POSITIVE_INFINITY
): boolean {
  const asked = from.slice(0, limit).map(({ packet }) => packet)
  let bytes = 0
  const end = asked.findIndex((packet, index) => (bytes += packet.bytes.length) > most && index > 0)
  const expected = end === -1 ? asked : asked.slice(0, end)
  return isPart === (end !== -1) && isDeepStrictEqual(events.map(seen), expected.map(seen))
}

t.test('what is kept takes little more memory than the frames: at most 1.4 times for events of 200 bytes', async (t) => {
  for (const size of [100, 1_000, 10_000]) {
    const log = new EventLog()
    let frames = 0
    for (let offset = 1; offset <= size * 3; offset++) {
      const packet = event(offset, {}, 'x'.repeat(200))
      log.append(packet, offset)
      if (log.length > size) log.shift()
      frames = packet.bytes.length * size
    }
    t.ok(log.bytes <= 1.4 * frames, `${size}: ${(log.bytes / frames).toFixed(2)}`)
  }
})
