import type { ControlMessage } from '../../lib/adapters/adapter.js'

export const ANN = 'AAAAAAAAAAAAAAAAAAAAAA'

/** Every kind of control message that there is: a kind that is added has to be added here. */
export const KINDS: Readonly<Record<ControlMessage['type'], readonly ControlMessage[]>> = {
  revoke: [
    { type: 'revoke', user: 'zoe', message: 'out', until: 4_102_444_800_000 },
    { type: 'revoke', tokenId: 't1', until: 4_102_444_800_000 },
    { type: 'revoke', connection: ANN },
    { type: 'revoke', of: 'chat/1' }
  ],
  expel: [{ type: 'expel', user: 'zoe', room: 'chat/1', message: 'out', until: 4_102_444_800_000 }],
  close: [{ type: 'close', of: 'chat/1', code: 'unavailable', message: 'later' }],
  join: [{ type: 'join', user: 'ann', room: 'chat/1' }, { type: 'join', of: 'chat/1', room: 'chat/2' }],
  leave: [{ type: 'leave', connection: ANN, room: 'chat/1' }],
  cancel: [{ type: 'cancel', room: 'chat/1', event: 'answer', key: 'a' }],
  members: [{ type: 'members', ack: 'node.ack1', members: [{ connection: ANN, userId: 'ann' }] }],
  acked: [
    { type: 'acked', ack: 'node.ack1', connection: ANN, user: 'ann' },
    { type: 'acked', ack: 'node.ack2', connection: ANN, data: { ok: true } }
  ],
  request: [{ type: 'request', ack: 'node.ack2', user: 'ann', event: 'asked', data: '{}', timestamp: 1_764_000_000_000 }],
  garbled: [{ type: 'garbled', user: 'ann', connection: ANN, message: 'no JSON', ack: 'node.ack2' }],
  gone: [{ type: 'gone', ack: 'node.ack1', connection: ANN }],
  moved: [{ type: 'moved', user: 'ann', connection: ANN }],
  owed: [{
    type: 'owed',
    told: [
      { user: 'ann', connection: ANN, code: 'revoked', message: 'out' },
      { user: 'ann', connection: ANN, room: 'chat/1', code: 'left', message: 'the server ended it' },
      { user: 'ann', connection: ANN, room: 'chat/1' },
      { user: 'ann', connection: ANN, room: 'chat/1', isOver: true }
    ]
  }],
  resumed: [{ type: 'resumed', user: 'ann', room: 'chat/1', former: [ANN] }],
  ask: [
    { type: 'ask', id: 'q1', user: 'ann', connection: ANN, what: 'leave', room: 'chat/1' },
    { type: 'ask', id: 'q2', user: 'ann', connection: ANN, what: 'replace', node: 'node' }
  ],
  follow: [{ type: 'follow', user: 'ann', connection: ANN, room: 'chat/1' }],
  departed: [{ type: 'departed', connection: ANN, room: 'chat/1', code: 'revoked', message: 'out', ago: 40 }],
  answer: [{ type: 'answer', id: 'q1', isDone: true }],
  pong: [{ type: 'pong', user: 'ann', connection: ANN, id: 'p1' }],
  node: [{ type: 'node', state: 'new' }, { type: 'node', state: 'here' }, { type: 'node', state: 'leaving' }],
  list: [{ type: 'list', id: 'c1', limit: 100, bytes: 262_144, room: 'chat/1', after: { node: 'node', number: 7 } }],
  oldest: [{ type: 'oldest', id: 'o1', user: 'ann', rooms: ['chat/1'] }, { type: 'oldest', id: 'o2', user: 'ann', rooms: [] }],
  older: [{ type: 'older', id: 'o1', connections: [{ id: ANN, since: 1_764_000_000_000, rooms: ['chat/1'] }] }],
  listed: [{
    type: 'listed',
    id: 'c1',
    total: 1,
    connections: [{
      number: 8,
      id: ANN,
      user: 'ann',
      transport: 'websocket',
      address: '192.0.2.1',
      since: 1_764_000_000_000,
      latency: 1.5,
      lag: 0,
      bytesIn: 0,
      bytesOut: 90,
      rooms: ['chat/1'],
      roomCount: 1
    }],
    more: true
  }],
  look: [{ type: 'look', id: 'l1', node: 'node', question: { what: 'figures' } }],
  shown: [{ type: 'shown', id: 'l1', answer: { stats: {} } }]
}
