import type { FastifyRequest } from 'fastify'
import { createAddressOf, rewriteUrlOf } from '../endpoint/fastify-internals.js'
import { isNearly } from '../errors/limit-warnings.js'
import { isShared } from '../server/addresses.js'
import { followOpenSockets, type OpenSockets } from '../server/open-sockets.js'
import { refusePlainUpgrades } from '../server/plain-upgrades.js'
import { RefusedUpgrades } from '../server/refused-upgrades.js'
import { UpgradeGuard } from '../server/upgrade-guard.js'
import type { FoundCredentials } from '../server/credential-parameters.js'
import { UrlCredentials } from '../server/url-credentials.js'
import type { Upgrade } from '../transports/websocket.js'
import type { Foundation } from './foundation.js'

/** Makes and stops what this plugin does to Node's server before Fastify sees a request. */
export class ServerParts {
  readonly guard: UpgradeGuard
  readonly refusedUpgrades = new RefusedUpgrades()
  readonly #sockets: OpenSockets
  readonly #credentials: UrlCredentials

  constructor ({ app, settings, prefix, ledger, refusals, limitWarnings }: Foundation) {
    const { pending } = settings.limits
    this.guard = new UpgradeGuard(app.server, {
      deadline: settings.timeouts.upgrade,
      pending: pending.total,
      pendingPerAddress: pending.address,
      addressOf: createAddressOf(app),
      isShared,
      onPending: (total, ofAddress, address) => {
        limitWarnings.look('limits.pending.total', total, pending.total)
        if (isNearly(ofAddress, pending.address)) {
          limitWarnings.look('limits.pending.address', ofAddress, pending.address, { address })
        }
      },
      onRefused: (code, refusal, address = '') => {
        ledger.refused(code)
        this.refusedUpgrades.rememberAddress(address, refusal)
        refusals.note(refusal, { address })
      }
    })
    this.guard.follow(app.websocketServer)
    this.#sockets = followOpenSockets(app.server)
    // Stats, health and tickets are plain routes as well.
    const isEndpoint = ({ url }: { readonly url: string }): boolean =>
      url === prefix.route || url === `${prefix.route}/*`
    refusePlainUpgrades(app, this.guard, (refusal, request) => {
      ledger.refused('protocol')
      refusals.noteRequest(refusal, request)
    }, isEndpoint)
    this.#credentials = new UrlCredentials(app.server, prefix.url, rewriteUrlOf(app))
  }

  upgradeOf ({ raw }: FastifyRequest): Upgrade | undefined {
    const upgrade = this.guard.upgradeOf(raw)
    return upgrade === undefined ? undefined : { raw, ...upgrade }
  }

  settle ({ raw }: FastifyRequest): void { this.guard.settle(raw) }

  /** Credentials of the query, which were taken out of the URL before it could be logged. */
  credentialsOf ({ raw }: FastifyRequest): FoundCredentials { return this.#credentials.of(raw) }

  logSerializers (log: object): Record<string, (value: never) => unknown> {
    return this.#credentials.logSerializers(log)
  }

  /** Ends the sockets without a request under way, once all requests under way are over. */
  closeSockets (): void { this.#sockets.close() }

  /** Restores the server as it was before. */
  stop (): void {
    this.#credentials.stop()
    this.guard.stop()
    this.#sockets.stop()
  }
}
