import { keyOf } from '../../protocol/key.js'
import { grouped } from '../../structures/grouped.js'
import type { Claim, ClaimStore, DenialStore, LeaseStore } from '../adapter.js'
import { isAny } from '../broker/any.js'
import { Nodes } from '../broker/nodes.js'
import { Stamps } from '../broker/stamps.js'
import { decodeClaim, decodeHolders, decodeValue, encodeHolders, isNewer } from '../broker/stored.js'
import type { Unread } from '../broker/unread.js'
import type { NatsClock } from './clock.js'
import { drop, endOf, heldName, isLiving, isTakenSince, nextStamp } from './held.js'
import { decoded, type NatsState, type Step } from './state.js'
import { momentIn, raised, type LastingDenials } from './lasting-denials.js'
import { inPart } from '../../errors/refusal.js'
import { stateKey } from './tokens.js'

/** One key holds all holders of one limit, so that taking the last slot is one step. */
export function natsLeases (state: NatsState, clock: NatsClock, nodes: Nodes, unread: Unread): LeaseStore {
  const living = (value: string | undefined): Map<string, number> => {
    const now = clock.now()
    const all = decoded('lease', value, decodeHolders, unread)
    return new Map([...all ?? []].filter(([name, until]) => isLiving(name, until, now, nodes)))
  }
  const stamps = new Stamps()
  const take = (holders: Map<string, number>, holder: string, ttl: number, stamp: number): void => {
    const mark = nodes.mark(ttl)
    drop(holders, holder)
    holders.set(heldName(holder, mark, stamp), endOf(mark, ttl, clock.now()))
  }
  return {
    renewal: (ttl) => Nodes.renewal(ttl),
    async acquire (key, holder, limit, ttl, fence) {
      // Changes of one key keep their order here, so this node knows alone which of its slots a release means.
      stamps.begin(keyOf(key, holder), fence)
      // A holder that has the slot already, and lost the answer, still has it only once.
      const step = (value: string | undefined): Step<number> => {
        const holders = living(value)
        const stamp = nextStamp(holders, holder, clock.now())
        if (!drop(holders, holder) && holders.size >= limit) return { result: 0 }
        take(holders, holder, ttl, stamp)
        return { value: encodeHolders(holders), result: stamp }
      }
      const name = stateKey('lease', key)
      const ask = async (): Promise<boolean> => {
        const stamp = await state.insist('change', () => state.change(name, step))
        if (stamp > 0) stamps.set(keyOf(key, holder), stamp)
        return stamp > 0
      }
      if (await ask()) return true
      // Some of the slots may be of a node that has died since this node's last heartbeat.
      await nodes.look()
      return nodes.dead(ttl).length > 0 && await ask()
    },
    async renew (leases, ttl) {
      const byKey = [...grouped(leases, ({ key }) => key)]
      await Promise.all(byKey.map(([key, added]) => state.change(stateKey('lease', key), (value) => {
        const holders = living(value)
        for (const { holder } of added) {
          const stamp = stamps.renew(keyOf(key, holder))
          if (isTakenSince(holders, holder, nodes.id, stamp)) continue
          take(holders, holder, ttl, stamp > 0 ? stamp : nextStamp(holders, holder, clock.now()))
        }
        return { value: encodeHolders(holders), result: undefined }
      }, false)))
    },
    async release (key, holder, fence) {
      const name = keyOf(key, holder)
      if (stamps.isPast(name, fence)) return
      const stamp = stamps.get(name)
      await state.change(stateKey('lease', key), (value) => {
        const holders = living(value)
        return drop(holders, holder, nodes.id, stamp)
          ? { value: encodeHolders(holders), result: undefined }
          : { result: undefined }
      })
      stamps.forget(name, stamp, fence)
    },
    async count (key) { return living(await state.read(stateKey('lease', key))).size }
  }
}

/**
 * Milliseconds that the server keeps claims and values beyond their end, because its clock, by which it removes them,
 * need not be exactly the one that this end is compared with.
 */
export const CLAIMS_SPARE = 5_000

/** @param state a bucket of their own, that keeps them for as long as the longest of them is needed and no longer */
export function natsClaims (state: NatsState, clock: NatsClock, unread: Unread): ClaimStore {
  const living = <T extends { readonly until: number }>(
    kind: string,
    value: string | undefined,
    decode: (text: string) => T | undefined
  ): T | undefined => {
    const known = decoded(kind, value, decode, unread)
    return known !== undefined && known.until > clock.now() ? known : undefined
  }
  return {
    async claim (key, hash, lease, _owner, holder): Promise<Claim> {
      state.lasts(lease + CLAIMS_SPARE)
      // Where it may have been written all the same, the caller hears it, and releases it.
      return await state.change<Claim>(stateKey('claim', key), (value) => {
        const known = living('claim', value, decodeClaim)
        // A holder that claims what it holds has lost the answer to its claim.
        const isOwn = holder !== undefined && known?.hash === hash && known.outcome === undefined &&
          known.holder === holder
        if (known === undefined || isOwn) {
          return { value: JSON.stringify({ hash, until: clock.now() + lease, holder }), result: { state: 'claimed' } }
        }
        if (known.hash !== hash) return { result: { state: 'conflict' } }
        if (known.outcome !== undefined) return { result: { state: 'settled', outcome: known.outcome } }
        return { result: { state: 'running', retryAfter: known.until - clock.now() } }
      })
    },
    async settle (key, hash, outcome, ttl, _owner, holder) {
      if (outcome !== undefined) state.lasts(ttl + CLAIMS_SPARE)
      await state.change(stateKey('claim', key), (value) => {
        const known = living('claim', value, decodeClaim)
        if (known !== undefined && known.hash !== hash) return { result: undefined }
        if (outcome === undefined && holder !== undefined && known?.holder !== holder) return { result: undefined }
        return {
          value: JSON.stringify({ hash, until: outcome === undefined ? 0 : clock.now() + ttl, outcome }),
          result: undefined
        }
      })
    },
    async put (key, value, ttl) {
      state.lasts(ttl + CLAIMS_SPARE)
      await state.write(stateKey('value', key), JSON.stringify({ value, until: clock.now() + ttl }))
    },
    async take (key) {
      return await state.change<string | undefined>(stateKey('value', key), (text) => {
        const known = living('value', text, decodeValue)
        return known?.value === undefined
          ? { result: undefined }
          : { value: JSON.stringify({ until: 0 }), result: known.value }
      })
    }
  }
}

/** @param lasting keeps those in force that outlast the bucket */
export function natsDenials (
  state: NatsState,
  clock: NatsClock,
  unread: Unread,
  lasting: Pick<LastingDenials, 'note'>
): DenialStore {
  return {
    async deny (subject, until, version) {
      const raise = async (key: string, to: number): Promise<void> => {
        await state.change(key, (value) => raised(value, to, unread))
      }
      const end = Math.round(clock.shared(until))
      if (version !== undefined) await raise(stateKey('version', subject), version)
      await raise(stateKey('denial', subject), end).catch((error: unknown) => {
        // An earlier denial that is in force counts as this one by now.
        throw version === undefined ? error : inPart(error)
      })
      await lasting.note(subject, end)
    },
    async version (subject) {
      return await state.insist('read', async () => {
        const [version] = await Promise.all([state.read(stateKey('version', subject)), state.led()])
        return momentIn(version, unread) || undefined
      })
    },
    async isDenied (subjects) {
      return await state.insist('read', async () => {
        // That nobody was denied counts only where the server that says so leads; a denial counts from any.
        const led = state.led()
        led.catch(() => {})
        const isFound = await isAny(subjects.map(async (subject) => {
          const end = await state.read(stateKey('denial', subject))
          // A denial in a newer form counts as a denial.
          return (end !== undefined && isNewer(end)) || momentIn(end, unread) > clock.now()
        }))
        if (isFound) return true
        await led
        return false
      })
    }
  }
}
