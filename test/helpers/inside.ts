import type { FastifyBaseLogger } from 'fastify'
import type { Test } from 'tap'
import type { MemoryAdapter } from '../../lib/adapters/memory/adapter.js'
import { Access } from '../../lib/admission/access.js'
import { Refusals } from '../../lib/admission/refusals.js'
import { Slots } from '../../lib/admission/slots.js'
import type { Revocations } from '../../lib/auth/revocations.js'
import { Connections } from '../../lib/connection/connections.js'
import type { BroadcastAcks } from '../../lib/dispatch/broadcast-acks.js'
import { Dispatch } from '../../lib/dispatch/dispatch.js'
import { Messages } from '../../lib/dispatch/messages.js'
import { FailureLog } from '../../lib/errors/failure-log.js'
import { LimitWarnings } from '../../lib/errors/limit-warnings.js'
import type { Hub } from '../../lib/rooms/hub.js'
import { Untold } from '../../lib/dispatch/untold.js'
import type { Membership } from '../../lib/rooms/membership.js'
import type { Ledger } from '../../lib/stats/ledger.js'

export const silent = {
  info: () => undefined,
  warn: () => undefined,
  error: () => undefined
} as unknown as FastifyBaseLogger

/** Slots of which a test uses up none. */
export function makeSlots (): Slots {
  return new Slots(
    { capacity: 10, user: 10, address: undefined, whenUnavailable: 'admit' },
    undefined,
    (error) => { throw error },
    () => undefined
  )
}

export interface InsideOptions {
  readonly adapter: MemoryAdapter
  readonly rooms: Hub
  readonly revocations: Revocations
  readonly slots: Slots
  readonly acks: BroadcastAcks
  readonly ledger: Ledger
  readonly untold?: Untold
}

/** What takes the frames of connections, for a test of the inside of a node that has no sockets. */
export function makeDispatch (
  { adapter, rooms, revocations, slots, acks, ledger, untold = new Untold(undefined, () => undefined) }: InsideOptions
): Dispatch {
  return new Dispatch({
    rooms,
    access: new Access(rooms, { checkRoom: () => undefined }, 30_000),
    revocations,
    connections: new Connections<Membership>(),
    slots,
    messages: new Messages(adapter.claims, {
      timeout: 30_000,
      window: 120_000,
      holder: 'here',
      validateOutput: true,
      remembered: { bytes: 1_000_000, perUser: 100_000 },
      log: silent,
      failures: new FailureLog()
    }),
    acks,
    untold,
    ledger,
    refusals: new Refusals(silent, undefined),
    log: silent,
    limitWarnings: new LimitWarnings(silent),
    roomLimit: 10,
    message: 65_536,
    burst: 1_000,
    waiting: 6_553_600,
    charge: () => undefined,
    answer: 262_144,
    presenceList: 200,
    validateOutput: true,
    timeout: 30_000,
    redeem: async () => { throw new Error('no tickets here') }
  })
}

/** Starts the adapter of such a node; both end with the test. */
export async function startInside (t: Test, adapter: MemoryAdapter, rooms: Hub): Promise<void> {
  await adapter.start({
    nodeId: 'here',
    log: silent,
    ...rooms.host,
    control: () => undefined,
    state: () => undefined,
    missed: () => undefined
  })
  t.teardown(async () => {
    rooms.stop()
    await adapter.close()
  })
}
