import t from 'tap'
import type { Admitted } from '../../lib/admission/admission.js'
import type { Peer } from '../../lib/admission/peer.js'
import type { TakenRooms } from '../../lib/dispatch/join-result.js'
import type { Joins } from '../../lib/dispatch/joins.js'
import { Untold } from '../../lib/dispatch/untold.js'
import { Polls } from '../../lib/endpoint/polls.js'

t.test('a poll lets no events in once another one of its connection has come, at whatever moment that comes', async (t) => {
  for (let moment = 0; moment < 10; moment++) {
    const starts: string[] = []
    let taken!: (taken: TakenRooms) => void
    const first = new Promise<TakenRooms>((resolve) => { taken = resolve })
    const second = new Promise<TakenRooms>(() => undefined)
    const asked = [first, second]
    const joins = { park () {}, parkAll () {}, resume: () => asked.shift() } as unknown as Joins
    const connection = {
      id: 'A'.repeat(22),
      userId: 'ada',
      isOpen: true,
      rooms: { all: () => [] },
      attach () {},
      detach () {},
      lastUntil () {}
    } as unknown as Peer
    const polls = new Polls({
      joins,
      untold: new Untold(undefined, () => undefined),
      control: undefined,
      charge: () => undefined,
      grace: 1_000,
      now: () => 0,
      onError: (error) => { throw error }
    })
    const admitted = {
      cursor: {},
      cursorRooms: [],
      entries: [],
      out: new Set(),
      known: connection,
      since: 0
    } as unknown as Admitted
    const run = (name: string): void => {
      const { answered } = polls.begin(connection, admitted, { wait: 10_000, hold: 0 }, async () => [])
      answered.catch((error: unknown) => { t.error(error, name) })
    }
    run('first')
    // Its turn has begun when its rooms are asked for.
    while (asked.length === 2) await Promise.resolve()
    taken({ entered: [], starts: [() => { starts.push('first') }], refused: [] })
    for (let turn = 0; turn < moment; turn++) await Promise.resolve()
    const [before] = starts
    run('second')
    await new Promise((resolve) => { setImmediate(resolve) })
    t.equal(starts[0], before, `${moment} turns after its rooms were taken`)
  }
})
