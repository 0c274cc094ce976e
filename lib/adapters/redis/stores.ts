import { keyOf, wellFormed } from '../../protocol/key.js'
import type { Claim, ClaimStore, DenialStore, LeaseStore } from '../adapter.js'
import { ExpiringMap } from '../../structures/expiring-map.js'
import { inLists } from '../../structures/slices.js'
import { isAny } from '../broker/any.js'
import { decodeTime } from '../broker/stored.js'
import { BEAT, HELD, namesOf, Nodes } from '../broker/nodes.js'
import { Stamps } from '../broker/stamps.js'
import type { Keys } from './keys.js'
import type { RedisLink } from './link.js'
import { many } from './many.js'
import {
  CLAIM, DENY, LEASE_ACQUIRE, LEASE_COUNT, LEASE_RELEASE, LEASE_RENEW, PUT, SETTLE, TAKE
} from './scripts/stores.js'

/** Slots in one renewal: as many run in scripts at a time. */
const BATCH = 2_000
/** Limits of which it is remembered that their slots no longer include any of dead nodes. */
const MAX_BURIED = 10_000

/** @param stamps when this node took which slot */
export function redisLeases (link: RedisLink, keys: Keys, nodes: Nodes, stamps = new Stamps()): LeaseStore {
  /** By limit, the dead nodes of which no slot can be left there. */
  const buried = new ExpiringMap<string>(MAX_BURIED)
  const deadFor = (key: string, ttl: number): string => {
    const dead = namesOf(nodes.dead(ttl))
    return buried.get(key, performance.now()) === dead ? '' : dead
  }
  const noteBuried = (key: string, dead: string): void => {
    const now = performance.now()
    if (dead !== '') buried.set(key, dead, now + HELD, now)
  }
  // What a node took after its last heartbeat is held that much longer.
  const isSettled = (dead: string, ttl: number): boolean => dead === namesOf(nodes.dead(ttl + 2 * BEAT))
  let longest = 0
  return {
    renewal: (ttl) => Nodes.renewal(ttl),
    async acquire (key, holder, limit, ttl, fence) {
      longest = Math.max(longest, ttl)
      const mark = nodes.mark(ttl)
      const names = keys.leases(key)
      const name = keyOf(key, holder)
      if (mark !== '') stamps.begin(name, fence)
      if (fence === undefined) stamps.doubt()
      let settled = ''
      // A holder that has the slot already, and lost the answer, still has it only once.
      const ask = async (): Promise<boolean> => await link.insist('change', names[0]!, async () => {
        const dead = deadFor(key, ttl)
        settled = isSettled(dead, ttl) ? dead : ''
        const args = [wellFormed(holder), limit, ttl, mark, dead, nodes.asOf, fence ?? '']
        const taken = Number(await link.script(LEASE_ACQUIRE, names, args))
        if (taken > 0 && mark !== '') stamps.set(name, taken)
        return taken > 0
      })
      if (await ask()) return true
      if (mark === '') return false
      // Some of the slots may be of a node that has died since this node's last heartbeat.
      await nodes.look()
      if (deadFor(key, ttl) === '') return false
      const isTaken = await ask()
      // One that was free needed no burial.
      if (!isTaken) noteBuried(key, settled)
      return isTaken
    },
    async renew (leases, ttl) {
      longest = Math.max(longest, ttl)
      const args = [ttl, nodes.mark(ttl)]
      const items = leases.map(({ key, holder, fence }) => {
        return { keys: keys.leases(key), args: [wellFormed(holder), stamps.renew(keyOf(key, holder)), fence ?? ''] }
      })
      await inLists(items, BATCH, (batch) => many(link, LEASE_RENEW, args, batch))
    },
    async release (key, holder, fence) {
      const name = keyOf(key, holder)
      if (stamps.isPast(name, fence)) return
      const stamp = stamps.get(name)
      // Another command may overtake it on its way, so the server compares the fence as well.
      await link.script(LEASE_RELEASE, keys.leases(key), [wellFormed(holder), nodes.id, stamp, fence ?? ''])
      stamps.forget(name, stamp, fence)
    },
    async count (key) {
      return Number(await link.script(LEASE_COUNT, keys.leases(key), [deadFor(key, longest), nodes.asOf]))
    }
  }
}

export function redisClaims (link: RedisLink, keys: Keys): ClaimStore {
  return {
    async claim (key, hash, lease, _owner, holder = ''): Promise<Claim> {
      const [state, detail] = await link.script(
        CLAIM,
        [keys.claim(key)],
        [keyOf(hash), Math.ceil(lease), wellFormed(holder)]
      ) as [Claim['state'], string | number]
      if (state === 'settled') return { state, outcome: String(detail) }
      if (state === 'running') return { state, retryAfter: Math.max(0, Number(detail)) }
      return { state }
    },
    async settle (
      key,
      hash,
      outcome,
      ttl,
      _owner,
      holder = ''
    ) {
      await link.script(SETTLE, [keys.claim(key)], [keyOf(hash), outcome ?? '', Math.ceil(ttl), wellFormed(holder)])
    },
    async put (key, value, ttl) { await link.script(PUT, [keys.value(key)], [value, Math.ceil(ttl)]) },
    async take (key) {
      const value = await link.script(TAKE, [keys.value(key)], [])
      return typeof value === 'string' ? value : undefined
    }
  }
}

export function redisDenials (link: RedisLink, keys: Keys): DenialStore {
  return {
    // The time is relative, because the server's clock may differ from that of the caller.
    async deny (subject, until, version) {
      const ms = Math.ceil(until - Date.now())
      await link.script(DENY, [keys.denial(subject), keys.denialVersion(subject)], [ms, version ?? ''])
    },
    async version (subject) {
      const key = keys.denialVersion(subject)
      const found = await link.insist('read', key, () => link.call('GET', key))
      return typeof found === 'string' ? decodeTime(found) : undefined
    },
    async isDenied (subjects) {
      return await isAny(subjects.map(async (subject) => {
        const key = keys.denial(subject)
        return await link.insist('read', key, () => link.call('EXISTS', key)) === 1
      }))
    }
  }
}
