import { createHash } from 'node:crypto'
import type { PresenceStore, RoomSettings } from '../adapters/adapter.js'
import { isFields } from '../adapters/broker/stored.js'
import type { Declaration } from './declaration.js'
import { after, every } from '../structures/timers.js'

export interface ContractWatchOptions {
  /** Where nodes publish what they declare; the entry of a node that is gone expires there. */
  readonly presence: PresenceStore
  readonly nodeId: string
  /** The hooks for whole users that this node has: `onOnline`, `onOffline`. */
  readonly hooks: readonly string[]
  readonly log: { warn (object: object, message: string): void }
  readonly onError: (error: unknown) => void
}

/**
 * Name of the presence that holds the contracts. No room can have it, because names that begin with `@` are built in.
 */
export const PLACE = '@contracts'
/** Milliseconds for which a node's entry outlives the node. */
const LEASE = 60_000
/** Milliseconds that a closing node waits for the broker to remove its entry. */
const PATIENCE = 250
/** Contracts that one node reports, and differences that it reports of each. */
export const MAX_CONTRACTS = 100
const MAX_TOLD = 10
/** Characters of a contract, and of its histories; of a larger one only the fingerprint is published. */
const MAX_TEXT = 65_536

/** Describes what two nodes must have in common of a family of rooms, in words that a person can compare. */
function wordsOf (declaration: Declaration): string {
  const { settings: { history, append }, events, texts, hasPresence, canUpdate } = declaration
  const hooks = (['onOccupied', 'onVacated'] as const).filter((hook) => declaration[hook] !== undefined)
  const each = [
    ...[...events].map(([type, { delivery, key, isOwned }]) => [
      type,
      delivery,
      ...(key === undefined ? [] : ['by', key]),
      ...(isOwned ? ['of its owner'] : [])
    ].join(' ')),
    ...[...texts].map(([type, { key, append, isList }]) => [
      type,
      'append by',
      key,
      isList ? 'a list' : 'a text',
      append
    ].join(' '))
  ].sort()
  return [
    history === false ? 'no history' : `history of ${history.size} for ${history.ttl} ms`,
    each.length === 0 ? 'no events' : each.join(', '),
    ...(append === undefined ? [] : [`texts of ${append.size} bytes for ${append.ttl} ms`]),
    ...(hasPresence ? [canUpdate ? 'presence that members update' : 'presence'] : []),
    ...hooks
  ].join('; ')
}

/** @returns the differences, one line each */
function differences (mine: ReadonlyMap<string, string>, theirs: ReadonlyMap<string, string>): string[] {
  const found: string[] = []
  for (const [pattern, words] of mine) {
    const others = theirs.get(pattern)
    if (others === undefined) found.push(`${pattern} is declared here alone`)
    else if (others !== words) found.push(`${pattern} has here ${words}; there ${others}`)
  }
  for (const pattern of theirs.keys()) if (!mine.has(pattern)) found.push(`${pattern} is declared there alone`)
  return found
}

/**
 * Warns when nodes that share a broker and a prefix declare different rooms or hooks: they are two applications that
 * receive each other's events, or two versions of one. It never refuses them, because while a new version is rolled out
 * both versions are meant to run.
 */
export class ContractWatch {
  readonly #options: ContractWatchOptions
  readonly #told = new Set<string>()
  #mine: ReadonlyMap<string, string> = new Map()
  #histories: ReadonlyArray<readonly [pattern: string, history: RoomSettings['history']]> = []
  #fingerprint = ''
  #timer: NodeJS.Timeout | undefined
  #looking: Promise<void> | undefined

  constructor (options: ContractWatchOptions) {
    this.#options = options
  }

  start (declarations: Iterable<Declaration>): void {
    // No room can have the name of a hook, because there are no spaces in the names of rooms.
    const hooks = this.#options.hooks.map((hook) => [`the hook ${hook}`, 'of all users'] as const)
    const all = [...declarations]
    const rooms = all.map((each) => [each.pattern.source, wordsOf(each)] as const)
    // For processes that publish: see KeptByNodes.
    this.#histories = all.map(({ pattern, settings }) => [pattern.source, settings.history])
    this.#mine = new Map([...rooms, ...hooks].sort(([a], [b]) => a < b ? -1 : 1))
    this.#fingerprint = createHash('sha256').update(JSON.stringify([...this.#mine])).digest('base64url')
    this.#timer = every(() => { this.#lookAgain() }, LEASE / 3).unref()
    this.#lookAgain()
  }

  /** Resolves soon, whether or not the broker answers, since the node's entry expires on its own. */
  async stop (): Promise<void> {
    if (this.#timer === undefined) return
    clearInterval(this.#timer)
    this.#timer = undefined
    let patience: NodeJS.Timeout | undefined
    const left = async (): Promise<void> => {
      await this.#looking
      await this.#options.presence.leave(PLACE, this.#entry, 0)
    }
    try {
      await Promise.race([left(), new Promise<void>((resolve) => { patience = after(resolve, PATIENCE) })])
    } catch {
      // The broker is away.
    } finally {
      clearTimeout(patience)
    }
  }

  #lookAgain (): void {
    this.#looking = this.#look().catch((error: unknown) => {
      if (this.#timer !== undefined) this.#options.onError(error)
    })
  }

  get #entry (): { userId: string, connection: string, data?: unknown } {
    const [rooms, histories] = [short([...this.#mine]), short(this.#histories)]
    return { userId: this.#fingerprint, connection: this.#options.nodeId, data: { rooms, histories } }
  }

  async #look (): Promise<void> {
    const { presence, log } = this.#options
    await presence.join(PLACE, this.#entry, LEASE)
    const { list = [] } = await presence.snapshot(PLACE, MAX_CONTRACTS)
    for (const { userId: fingerprint, data } of list) {
      if (fingerprint === this.#fingerprint || this.#told.has(fingerprint) || this.#told.size >= MAX_CONTRACTS) continue
      this.#told.add(fingerprint)
      const theirs = contractOf(data)
      const found = theirs === undefined ? [] : differences(this.#mine, theirs)
      log.warn(
        { differences: found.slice(0, MAX_TOLD), more: Math.max(0, found.length - MAX_TOLD) },
        'another node with the same broker and prefix declares other rooms or hooks: two applications hear each other unless the adapter of each has a prefix of its own; two versions of one application may differ while the newer one is rolled out'
      )
    }
  }
}

/** What is short enough to be published. */
function short<T> (data: T): T | undefined { return JSON.stringify(data).length <= MAX_TEXT ? data : undefined }

/** Reads the contract of another node, which is input like everything that comes from a broker. */
function contractOf (data: unknown): Map<string, string> | undefined {
  if (!isFields(data) || !Array.isArray(data.rooms)) return undefined
  const contract = new Map<string, string>()
  for (const pair of data.rooms as unknown[]) {
    if (!Array.isArray(pair) || typeof pair[0] !== 'string' || typeof pair[1] !== 'string') return undefined
    contract.set(pair[0], pair[1])
  }
  return contract
}
