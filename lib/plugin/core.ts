import { Access } from '../admission/access.js'
import { ConnectionIds } from '../admission/connection-ids.js'
import { Readiness } from '../admission/readiness.js'
import type { Slots } from '../admission/slots.js'
import { Unread } from '../adapters/broker/unread.js'
import { RemoteControl } from '../app/control.js'
import { Older } from '../app/older.js'
import { OwnConnections, type ListAnswer } from '../app/own-connections.js'
import { Recheck } from '../app/recheck.js'
import { Requests } from '../app/requests.js'
import { ToldRevocations } from '../app/told-revocations.js'
import type { Authentication } from '../auth/authentication.js'
import type { Credentials } from '../auth/credentials.js'
import type { Denials } from '../auth/denials.js'
import { Revocations } from '../auth/revocations.js'
import { Connections, type UserWatch } from '../connection/connections.js'
import { Drain } from '../connection/drain.js'
import { BroadcastAcks } from '../dispatch/broadcast-acks.js'
import type { Dispatch } from '../dispatch/dispatch.js'
import { DistantDepartures } from '../dispatch/distant-departures.js'
import { Elsewhere } from '../dispatch/elsewhere.js'
import { Untold } from '../dispatch/untold.js'
import { Gathering } from '../dispatch/gathering.js'
import type { Messages } from '../dispatch/messages.js'
import { Roster } from '../dispatch/roster.js'
import { Exchanges } from '../endpoint/exchanges.js'
import { Polls } from '../endpoint/polls.js'
import { UserRateLimiter } from '../endpoint/user-rate-limiter.js'
import type { Census } from '../rooms/census.js'
import { Hub } from '../rooms/hub.js'
import type { Membership } from '../rooms/membership.js'
import { Cluster } from '../stats/cluster.js'
import type { Foundation } from './foundation.js'
import { WholeHooks } from './hooks.js'
import {
  createAuthentication, createCredentials, createDenials, createDispatch, createMessages, createSlots, hubOptions
} from './parts.js'
import type { ServerParts } from './server-parts.js'

/** Connections and rooms, the admission to them, and the messages between them: what both interfaces of a node use. */
export interface Core {
  readonly exchanges: Exchanges
  readonly connections: Connections<Membership>
  readonly drain: Drain
  readonly readiness: Readiness
  readonly acks: BroadcastAcks
  readonly hub: Hub
  readonly hooks: WholeHooks
  readonly slots: Slots
  readonly messages: Messages
  readonly revocations: Revocations
  readonly credentials: Credentials
  readonly denials: Denials
  readonly told: ToldRevocations
  readonly recheck: Recheck
  readonly auth: Authentication
  readonly access: Access
  readonly rates: UserRateLimiter
  readonly connectionIds: ConnectionIds
  readonly dispatch: Dispatch
  readonly polls: Polls
  readonly elsewhere: Elsewhere
  readonly untold: Untold
  /** Follows connections of other nodes. */
  readonly distant: DistantDepartures
  readonly roster: Roster
  readonly lists: Gathering<ListAnswer>
  readonly own: OwnConnections
  readonly older: Older
  /** Asks the other nodes what they hold. */
  readonly cluster: Cluster
  readonly requests: Requests
  /** Counts messages of other nodes that this version cannot read. */
  readonly unread: Unread
  readonly control: RemoteControl
}

/** Makes the parts in an order in which each gets those that it calls. */
export function createCore (foundation: Foundation, server: ServerParts): Core {
  const { app: { log }, settings, adapter, nodeId, failed, limitWarnings } = foundation
  const controlFailed = (error: unknown): void => { failed(error, 'control') }

  const acks = new BroadcastAcks(nodeId, adapter.control, controlFailed)
  const hub = new Hub(adapter, hubOptions(foundation, acks))
  const hooks = new WholeHooks(foundation, hub)
  const connections = new Connections<Membership>(hooks.online === undefined ? undefined : usersOf(hooks.online))
  const drain = new Drain(connections, settings.drain, () => hub.texts.close())

  const revocations = new Revocations()
  const slots = createSlots(foundation, connections)
  const messages = createMessages(foundation)
  const credentials = createCredentials(foundation, server)
  const denials = createDenials(foundation)
  const told = new ToldRevocations(adapter.control)
  const auth = createAuthentication(foundation, { credentials, denials, revocations })
  const access = new Access(hub, denials, settings.timeouts.handler)
  const rates = new UserRateLimiter(settings.limits.rate, limitWarnings)
  const connectionIds = new ConnectionIds(adapter, (error) => { failed(error, 'secret') })

  const untold = new Untold(adapter.control, controlFailed)
  const dispatch = createDispatch(
    foundation,
    { hub, access, revocations, connections, slots, messages, acks, untold, auth, rates }
  )
  const recheck = new Recheck({ connections, denials, revocations, joins: dispatch.joins })
  const polls = new Polls({
    joins: dispatch.joins,
    untold,
    control: adapter.control,
    charge: (userId, cost) => { rates.charge(userId, cost) },
    grace: settings.presence.grace,
    now: () => performance.now(),
    onError: controlFailed
  })
  const elsewhere = new Elsewhere(adapter.control)
  const distant = new DistantDepartures(
    dispatch.departures,
    connections,
    adapter.control,
    settings.timeouts.handler,
    controlFailed
  )
  const roster = new Roster(adapter.control, controlFailed, (node) => {
    // Without its broker this node hears of nobody, and a connection may have come here from there.
    acks.nodeGone(node, (connection) => !roster.isKnown || connections.get(connection) !== undefined)
  })
  const lists = new Gathering<ListAnswer>(roster)
  const cluster = new Cluster({
    node: nodeId,
    control: adapter.control,
    gathering: new Gathering<unknown>(roster),
    onError: controlFailed
  })
  const own = new OwnConnections(nodeId, connections, hub)
  const older = new Older({ node: nodeId, connections, slots, roster, elsewhere, control: adapter.control })
  const requests = new Requests({ hub, connections, acks, roster, control: adapter.control })
  const unread = new Unread(log)
  const control = new RemoteControl({
    hub,
    connections,
    dispatch,
    revocations,
    acks,
    polls,
    untold,
    elsewhere,
    distant,
    cluster,
    denials,
    unread,
    roster,
    lists,
    own,
    older,
    node: nodeId,
    requests,
    control: adapter.control
  })
  return {
    exchanges: new Exchanges(settings.timeouts.write),
    connections,
    drain,
    readiness: new Readiness(drain),
    acks,
    hub,
    hooks,
    slots,
    messages,
    revocations,
    credentials,
    denials,
    told,
    recheck,
    auth,
    access,
    rates,
    connectionIds,
    dispatch,
    polls,
    untold,
    elsewhere,
    distant,
    roster,
    lists,
    own,
    older,
    cluster,
    requests,
    unread,
    control
  }
}

/** A user is gone when the grace is over, however a connection has ended. */
function usersOf (census: Census): UserWatch {
  return {
    enter: (userId) => { census.enter(userId) },
    leave: (userId) => { census.leave(userId, false) }
  }
}
