/**
 * The rows of the table of SECURITY.md (by the beginning of their first cell) that `driven-to-bounds.test.ts` does not
 * drive itself.
 */

/** Driven to their bounds in the file that is named. */
export const ELSEWHERE: Readonly<Record<string, string>> = {
  'texts on Redis and NATS': 'lib/adapters/contract/texts.ts',
  'heartbeats and pings behind': 'test/connection/outbox.test.ts',
  'kinds of refusals that': 'test/stories/operator-log.test.ts',
  'control messages that Redis keeps for nodes': 'test/adapters/redis/kept-messages.test.ts',
  'control messages that came before others': 'test/adapters/broker/early.test.ts',
  'writers of texts': 'test/rooms/text-writer.test.ts',
  'chats of the AI SDK': 'test/ai/transport.test.ts',
  'message ids with outcomes': 'test/retention/remembered.test.ts',
  'outcomes on Redis and NATS': 'test/stories/bounded-memory.test.ts',
  'contents of requests by `Idempotency-Key`': 'test/stories/bounded-memory.test.ts',
  'events of a request of the server API': 'test/server-api/publish.test.ts',
  'idempotency keys on Redis': 'lib/adapters/contract/claims.ts',
  'idempotency keys on NATS': 'lib/adapters/contract/claims.ts',
  'outcomes that the broker could not be told of': 'test/stories/bounded-memory.test.ts',
  'claims that are being given back, outcomes that are being stored': 'test/dispatch/idempotency.test.ts',
  'connections that have ended': 'test/dispatch/distant-departures.test.ts',
  'values for one use': 'test/stories/bounded-memory.test.ts',
  'acknowledged broadcasts': 'test/stories/bounded-memory.test.ts',
  slots: 'test/admission/slots.test.ts',
  'rooms that a polling peer is out of': 'test/connection/unheard.test.ts',
  'memberships up to where': 'test/rooms/passed-over.test.ts',
  'upgrades under way': 'test/server/pending-upgrades.test.ts',
  'what upgrades were refused with': 'test/stories/bounded-memory.test.ts',
  'frames for one connection': 'test/connection/outbox.property.test.ts',
  connections: 'test/stories/admission-order.test.ts',
  'of one connection: its rooms': 'test/app/app-rooms.test.ts',
  'rooms with members, and the members': 'test/app/app-rooms.test.ts',
  'a page of history on its way': 'test/stories/answers-within-bounds.test.ts',
  'calls of a worker to its primary': 'test/adapters/cluster/adapter.test.ts',
  'what the primary sends to a worker': 'test/adapters/cluster/adapter.test.ts',
  'events held back behind a hole': 'test/stories/bounded-memory.test.ts',
  'what this node has seen of a room': 'test/adapters/redis/known.test.ts',
  'while the schemas are checked': 'test/protocol/regexp.test.ts',
  'gateway: joins': 'test/gateway/hooks.test.ts',
  'gateway: questions': 'test/gateway/hooks.test.ts',
  'client: what is heard after a state': 'test/client/snapshot.test.ts',
  'client: messages that wait': 'test/client/links.test.ts',
  '`fastify-realtime/bridge`': 'test/bridge/bridge.test.ts'
}

const EXPIRING = 'a map that runs out, made with its bound, which is driven as one of the parts'
const CONNECTIONS = 'as many as connections and their rooms, whose bounds are driven'
const CALLS = 'one for each call that is under way; whoever calls waits for it'
const DECLARED = 'as many as the application declares, and no peer adds one'
const TURN = 'empty behind each turn of the event loop'
const SOCKETS = 'as many as sockets, which the system bounds'

/** What cannot be driven to a bound of its own, and why. */
export const UNDRIVEN: Readonly<Record<string, string>> = {
  'servers that a link to NATS has met': 'each is a start of a server, of which 65 would take minutes',
  'what a worker has ended and its primary': CONNECTIONS,
  'what nodes have said that rooms keep': 'has the rooms that the publisher declares, whatever nodes say',
  'texts that are being read again': 'one for each text of a room, whose bound is driven',
  'the same on Redis': 'bounded by the memory of the server; a read makes nothing there',
  'messages whose handler runs': 'as many as frames of connections may wait, whose bound is driven',
  'handlers that have asked': 'as many as frames of connections may wait, whose bound is driven',
  'sockets of the first attempt': 'one of each server that is named, and that only while the node starts',
  'presence entries': CONNECTIONS,
  'rooms with values that end': CONNECTIONS,
  'users with connections': CONNECTIONS,
  'a list of connections while': CALLS,
  'joins of presence under way': CALLS,
  'options that have no effect on a stream': 'two kinds, which the source names',
  'nodes that the broker names': 'kept by scripts of the broker, for which 2 000 nodes would have to live',
  'leases of presence': 'two leases, which the source names',
  'revocations that other nodes were told of': EXPIRING,
  'limits among whose slots': EXPIRING,
  'why connections ended': EXPIRING,
  'packets of one turn': TURN,
  'compressed frames': 'one of each frame while it is written',
  'pings by the application': CALLS,
  polls: 'one of each connection',
  'HTTP requests of our routes': SOCKETS,
  'ports on which apps of this process': SOCKETS,
  'sockets of the server': SOCKETS,
  'URLs with a credential': 'held weakly, by requests',
  'joins under way': 'as many as frames of connections may wait, whose bound is driven',
  'subscriptions that end': CALLS,
  'reads of history': CALLS,
  'publications under way': CALLS,
  'origins handed over': EXPIRING,
  'changes of values in NATS': CALLS,
  'values as this node wrote them': '20 000 changes on a server would be most of this suite',
  'commands that wait': CALLS,
  'the workers of a primary': 'as many as the application starts, and the rooms of their connections',
  'slots of all workers': CONNECTIONS,
  'clocks of the shards': 'one of each primary of a cluster',
  'when a failure of each kind': 'kinds that the source names',
  'buckets of a histogram': DECLARED,
  'counters by code': 'the codes of the table',
  'what is declared': DECLARED,
  'gateway: what is wrong': DECLARED,
  'the page of the dashboard': 'in the browser of an admin, by what the page shows',
  'client: rooms, questions': CALLS,
  'client: tabs that share the link': 'the tabs of one browser, and messages that wait, whose bound is driven',
  'client: what belongs to a handle': CALLS,
  'client: rooms of components': 'as many as components that the page shows',
  'client: members': 'those that the server lists',
  '`fastify-realtime conformance`': 'a tool that a developer runs against a client of his own',
  '`fastify-realtime/testing`': 'tests read all of it',
  '`fastify-realtime/adapter`': 'tests read all of it'
}
