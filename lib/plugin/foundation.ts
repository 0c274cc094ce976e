import { randomBytes } from 'node:crypto'
import type { FastifyInstance } from 'fastify'
import { Refusals } from '../admission/refusals.js'
import { FailureLog } from '../errors/failure-log.js'
import { LimitWarnings } from '../errors/limit-warnings.js'
import type { Adapter } from '../adapters/adapter.js'
import { MemoryAdapter } from '../adapters/memory/adapter.js'
import type { Prefix } from '../endpoint/prefix.js'
import type { Settings } from '../options/resolve.js'
import { DEFAULTS } from '../options/defaults.js'
import { Ledger } from '../stats/ledger.js'
import type { RealtimeOptions } from '../types/options.js'

/** What every part of a node may need: the app, its options, the adapter, counters and logs. */
export interface Foundation {
  readonly app: FastifyInstance
  /** The options as they were given, for what belongs to the app: its functions, and options of other plugins. */
  readonly options: RealtimeOptions
  readonly settings: Settings
  readonly prefix: Prefix
  readonly nodeId: string
  readonly adapter: Adapter
  readonly ledger: Ledger
  readonly refusals: Refusals
  readonly failures: FailureLog
  readonly limitWarnings: LimitWarnings
  /** Logs a failure of the adapter in a call whose result is not awaited. */
  readonly failed: (error: unknown, what: string) => void
}

export function createFoundation (
  app: FastifyInstance,
  options: RealtimeOptions,
  settings: Settings,
  prefix: Prefix
): Foundation {
  const { log } = app
  const failures = new FailureLog()
  return {
    app,
    options,
    settings,
    prefix,
    nodeId: randomBytes(6).toString('base64url'),
    adapter: options.adapter ?? new MemoryAdapter({ bytes: settings.historyBytes, idempotency: DEFAULTS.idempotency }),
    ledger: new Ledger(),
    refusals: new Refusals(log, options.onRefused),
    failures,
    limitWarnings: new LimitWarnings(log),
    failed: (error, what) => { failures.warn(log, 'the adapter failed', error, { what }) }
  }
}
