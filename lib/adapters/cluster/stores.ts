import type {
  Claim, ClaimStore, Control, ControlMessage, DenialStore, LeaseStore, PresenceEntry, PresenceSnapshot, PresenceStore,
  PresentUser, TextStore, TextWritten
} from '../adapter.js'
import { keyOf } from '../../protocol/key.js'
import { Stamps } from '../broker/stamps.js'
import { fieldsOf, flagOf, listOf, maybe, numberOf, textOf, wordOf } from './checks.js'
import { readKept, readWhich } from './wire.js'
import { SHORTEST } from './space.js'

/** Asks the primary, and reads its answer. */
export type Ask = <T>(method: string, args: readonly unknown[], read: (answer: unknown) => T) => Promise<T>

/** Has the primary end something, whenever it gets there. */
export type Insist = (method: string, args: readonly unknown[]) => Promise<void>

/** Slots in one call. */
const BATCH = 500
/** Milliseconds between two renewals of what lasts as long as its worker: nothing is lost that they would repair. */
const RENEWAL = 600_000

const nothing = (): void => {}
const WRITTEN: readonly TextWritten[] = ['written', 'busy', 'ended', 'full', 'lost', 'behind']

function userOf (value: unknown): PresentUser {
  const { userId, data } = fieldsOf(value)
  return { userId: textOf(userId), ...(data === undefined ? {} : { data }) }
}

export function clusterPresence (ask: Ask, insist: Insist): PresenceStore {
  // Calls keep their order on their way, so this worker knows alone which of its entries a leave means.
  const stamps = new Stamps()
  return {
    join: (room, { userId, connection, data, fence }: PresenceEntry, lease) => {
      stamps.begin(keyOf(room, connection), fence)
      return ask('join', [room, { userId, connection, data }, lease], nothing)
    },
    leave: (room, { userId, connection, fence }, grace) => {
      if (stamps.isPast(keyOf(room, connection), fence)) return
      return insist('leave', [room, { userId, connection }, grace])
    },
    succeed: (room, userId, former) => ask('succeed', [room, userId, former], flagOf),
    update: (room, { userId, data }) => ask('update', [room, { userId, data }], flagOf),
    isPresent: (room, userId) => ask('present', [room, userId], flagOf),
    snapshot: (room, limit) => ask('snapshot', [room, limit], (answer): PresenceSnapshot => {
      const { sequence, total, list } = fieldsOf(answer)
      const users = maybe(list, (given) => listOf(given).map(userOf))
      return { sequence: numberOf(sequence), total: numberOf(total), ...(users === undefined ? {} : { list: users }) }
    }),
    // The primary does it for all.
    sweep: nothing
  }
}

export function clusterLeases (ask: Ask, insist: Insist): LeaseStore {
  const stamps = new Stamps()
  return {
    renewal: (ttl) => ttl < SHORTEST ? ttl / 3 : RENEWAL,
    acquire: (key, holder, limit, ttl, fence) => {
      stamps.begin(keyOf(key, holder), fence)
      return ask('acquire', [key, holder, limit, ttl], flagOf)
    },
    async renew (leases, ttl) {
      for (let index = 0; index < leases.length; index += BATCH) {
        const some = leases.slice(index, index + BATCH).map(({ key, holder }) => [key, holder])
        await ask('renew', [some, ttl], nothing)
      }
    },
    async release (key, holder, fence) {
      if (!stamps.isPast(keyOf(key, holder), fence)) await insist('release', [key, holder])
    },
    count: (key) => ask('count', [key], numberOf)
  }
}

export function clusterClaims (ask: Ask): ClaimStore {
  return {
    claim: (key, hash, lease, owner, holder) => ask('claim', [key, hash, lease, owner, holder], claimOf),
    settle: (key, hash, outcome, ttl, owner, holder) =>
      ask('settle', [key, hash, outcome, ttl, owner, holder], nothing),
    put: (key, value, ttl) => ask('put', [key, value, ttl], nothing),
    take: (key) => ask('take', [key], (answer) => maybe(answer, textOf))
  }
}

function claimOf (answer: unknown): Claim {
  const { state, outcome, retryAfter } = fieldsOf(answer)
  const word = wordOf(state, ['claimed', 'settled', 'running', 'conflict'])
  if (word === 'settled') return { state: word, outcome: textOf(outcome) }
  return word === 'running' ? { state: word, retryAfter: numberOf(retryAfter) } : { state: word }
}

export function clusterDenials (ask: Ask): DenialStore {
  return {
    deny: (subject, until, version) => ask('deny', [subject, until - Date.now(), version], nothing),
    version: (subject) => ask('version', [subject], (answer) => maybe(answer, numberOf)),
    isDenied: (subjects) => ask('denied', [subjects], flagOf)
  }
}

export function clusterTexts (ask: Ask): TextStore {
  const kept = (answer: unknown): ReturnType<typeof readKept>[] => listOf(answer).map(readKept)
  return {
    write: (room, step, settings) =>
      ask('write', [room, step, settings], (answer) => wordOf(answer, WRITTEN)),
    read: (room, settings, which) => ask('read', [room, settings, which], kept),
    check: (room, known, settings) => ask('check', [room, known, settings], kept),
    missing: (room, texts, settings) => ask('missing', [room, texts, settings], (answer) => listOf(answer).map(readWhich))
  }
}

export function clusterControl (ask: Ask): Control {
  return { send: async (message: ControlMessage) => { await ask('control', [message], nothing) } }
}
