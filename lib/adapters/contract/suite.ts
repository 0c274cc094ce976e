import type { Awaitable } from '../../structures/awaitable.js'
import type { Adapter } from '../adapter.js'

/** What lives as long as one test. */
export interface Scope {
  /** Calls back when the test is over, the newest first. */
  teardown (callback: () => unknown): void
}

/**
 * The runner of the contract's tests, as far as it is used. A test of tap is one. For another runner, such as
 * `node:test` with `node:assert`, these methods are written in a few lines.
 */
export interface ContractTest extends Scope {
  /** Runs a test of its own, behind those before it. */
  test (title: string, run: (t: ContractTest) => Promise<unknown>): unknown
  /** Two values are the same one. */
  equal (found: unknown, wanted: unknown, ...why: [] | [why: string]): unknown
  /** Two values look the same. */
  same (found: unknown, wanted: unknown, ...why: [] | [why: string]): unknown
  /** A value is true. */
  ok (value: unknown, ...why: [] | [why: string]): unknown
  /** Says why nothing was tried: the adapter lacks a capability. */
  pass (why: string): unknown
}

/** How an adapter is tried. */
export interface ContractOptions {
  /** Stands in front of each title. @default 'adapter' */
  readonly name?: string
  /** Nodes that can see each other: 1 for an adapter of one process. @default 2 */
  readonly nodes?: 1 | 2
}

/**
 * Makes what a test needs: adapters that see the same empty broker, or an empty part of it. An adapter of one process
 * is the same one each time.
 */
export type CreateAdapters = (t: Scope) => Awaitable<() => Adapter>
