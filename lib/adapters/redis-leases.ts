import { keyOf, wellFormed } from '../protocol/key.js'
import type { Claim, ClaimStore, DenialStore, LeaseStore } from './adapter.js'
import type { Keys } from './redis-keys.js'
import { Unreachable, type RedisLink } from './redis-link.js'
import { CLAIM, DENY, LEASE_ACQUIRE, LEASE_COUNT, LEASE_RELEASE, LEASE_RENEW, PUT, SETTLE, TAKE } from './redis-scripts.js'

/** Holders in one renewal: bounds the time that one script keeps the server. */
const BATCH = 500

export function redisLeases (link: RedisLink, keys: Keys): LeaseStore {
  return {
    async acquire (key, holder, limit, ttl) {
      const ask = async (): Promise<boolean> => await link.script(LEASE_ACQUIRE, [keys.lease(key)], [wellFormed(holder), limit, ttl]) === 1
      try {
        return await ask()
      } catch (error) {
        // The server is there: what came to it late was held up on this side.
        if (error instanceof Unreachable && error.isExpired) return await ask()
        throw error
      }
    },
    async renew (leases, ttl) {
      const byKey = new Map<string, string[]>()
      for (const { key, holder } of leases) {
        const holders = byKey.get(key)
        const name = wellFormed(holder)
        if (holders === undefined) byKey.set(key, [name])
        else holders.push(name)
      }
      const steps: Array<Promise<unknown>> = []
      for (const [key, holders] of byKey) {
        for (let index = 0; index < holders.length; index += BATCH) {
          steps.push(link.script(LEASE_RENEW, [keys.lease(key)], [ttl, ...holders.slice(index, index + BATCH)]))
        }
      }
      await Promise.all(steps)
    },
    async release (key, holder) { await link.script(LEASE_RELEASE, [keys.lease(key)], [wellFormed(holder)]) },
    async count (key) { return Number(await link.script(LEASE_COUNT, [keys.lease(key)], [])) }
  }
}

export function redisClaims (link: RedisLink, keys: Keys): ClaimStore {
  return {
    async claim (key, hash, lease, _owner, holder = ''): Promise<Claim> {
      const [state, detail] = await link.script(CLAIM, [keys.claim(key)], [keyOf(hash), Math.ceil(lease), wellFormed(holder)]) as [Claim['state'], string | number]
      if (state === 'settled') return { state, outcome: String(detail) }
      if (state === 'running') return { state, retryAfter: Math.max(0, Number(detail)) }
      return { state }
    },
    async settle (key, hash, outcome, ttl, _owner, holder = '') { await link.script(SETTLE, [keys.claim(key)], [keyOf(hash), outcome ?? '', Math.ceil(ttl), wellFormed(holder)]) },
    async put (key, value, ttl) { await link.script(PUT, [keys.value(key)], [value, Math.ceil(ttl)]) },
    async take (key) {
      const value = await link.script(TAKE, [keys.value(key)], [])
      return typeof value === 'string' ? value : undefined
    }
  }
}

export function redisDenials (link: RedisLink, keys: Keys): DenialStore {
  return {
    // So long from now: the server's clock may be another one than that by which the caller reckons.
    async deny (subject, until) { await link.script(DENY, [keys.denial(subject)], [Math.ceil(until - Date.now())]) },
    async isDenied (subjects) {
      const found = await Promise.all(subjects.map((subject) => link.call('EXISTS', keys.denial(subject))))
      return found.includes(1)
    }
  }
}
