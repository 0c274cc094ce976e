import type { Awaitable } from '../../structures/awaitable.js'
import type { Adapter } from '../adapter.js'

/** What lives as long as one test. */
export interface Scope {
  /** Calls back when the test is over, the newest first. */
  teardown (callback: () => unknown): void
}

/**
 * What the contract uses of the runner of its tests. A test of tap has it all. For another runner, such as `node:test`
 * with `node:assert`, these methods are a few lines.
 */
export interface ContractTest extends Scope {
  /** Runs a test of its own, behind those before it. */
  test (title: string, run: (t: ContractTest) => Promise<unknown>): unknown
  /** Asserts that two values are the same one. */
  equal (found: unknown, wanted: unknown, ...why: [] | [why: string]): unknown
  /** Asserts that two values look the same. */
  same (found: unknown, wanted: unknown, ...why: [] | [why: string]): unknown
  /** Asserts that a value is true. */
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
 * Makes what a test needs: adapters that see the same empty broker, or the same empty part of it. For an adapter of one
 * process it returns the same one each time.
 */
export type CreateAdapters = (t: Scope) => Awaitable<() => Adapter>
