import type { ConnectionDetail } from '../../lists.js'
import type { EventView, RoomDetail } from '../../overview.js'
import { get, type Failure } from './api.js'
import { confirm } from './dialog.js'
import { h, link, pathOf, setChildren, setText, type Child } from './elements.js'
import { connectionsListing, roomsListing, type Frame } from './lists.js'
import { brief, counted, dated, lasting, many, momentary, NONE, scaled } from './words.js'

/** One page below the header. */
export interface View {
  readonly title: string
  readonly element: HTMLElement
  /** Reads anew what it shows. */
  refresh (): Promise<void>
}

const DURATIONS = [['10 minutes', 600_000], ['1 hour', 3_600_000], ['1 day', 86_400_000], ['30 days', 2_592_000_000]] as const

/** Characters of data that are written in one line. */
const ONE_LINE = 120

function facts (list: ReadonlyArray<readonly [name: string, value: Child]>): HTMLElement[] {
  return list.map(([name, value]) => h('div', {}, h('dt', {}, name), h('dd', {}, value)))
}

/** The list of rooms as a page. */
export function roomsView (frame: Frame): View {
  return { title: 'Rooms', ...roomsListing(frame) }
}

/** The list of connections as a page. */
export function connectionsView (frame: Frame): View {
  return { title: 'Connections', ...connectionsListing(frame, 'connections') }
}

/** All connections of one user. */
export function userView (frame: Frame, user: string): View {
  const list = connectionsListing(frame, `connections of ${user}`, { user })
  const revoke = h('button', {
    type: 'button',
    class: 'danger',
    onclick: () => {
      confirm({
        title: `Keep ${user} out?`,
        text: 'All connections of this user end on every node, and the user is refused until the time is over. This cannot be taken back earlier.',
        verb: 'Revoke',
        durations: DURATIONS,
        action: (duration) => ({ action: 'revoke', user, duration }),
        done: () => {
          frame.told(`${user} is kept out.`)
          void list.refresh()
        },
        told: frame.told
      })
    }
  }, 'Revoke access\u2026')
  const actions = h('div', { class: 'actions', hidden: true }, revoke)
  return {
    title: `User ${user}`,
    element: h('div', {}, actions, list.element),
    async refresh () {
      actions.hidden = !frame.mayAct()
      await list.refresh()
    }
  }
}

/** All that is known of one connection. */
export function connectionView (frame: Frame, key: string): View {
  const list = h('dl', { class: 'facts' })
  const heading = h('h2')
  const rooms = h('ul', { class: 'links' })
  const note = h('p', { class: 'quiet', role: 'status' }, 'Reading\u2026')
  const parts = h('div', { hidden: true }, h('section', { class: 'panel', 'aria-label': 'connection' }, list),
    h('section', { class: 'panel', 'aria-label': 'its rooms' }, heading, rooms))
  const end = h('button', {
    type: 'button',
    class: 'danger',
    onclick: () => {
      confirm({
        title: 'End this connection?',
        text: 'Its client is told, and may come back at once. To keep a user out, revoke the access on the user\u2019s page.',
        verb: 'Disconnect',
        action: () => ({ action: 'disconnect', connection: key }),
        done: () => {
          frame.told(`${key} was ended.`)
          void refresh()
        },
        told: frame.told
      })
    }
  }, 'Disconnect\u2026')
  const actions = h('div', { class: 'actions', hidden: true }, end)
  const show = (of: ConnectionDetail): void => {
    // Its node may be of another version.
    const { rooms: names = [] } = of as Partial<ConnectionDetail>
    setChildren(list, facts([
      ['user', link(pathOf('users', of.userId), of.userId)],
      ['node', h('code', {}, of.node)],
      ['transport', of.transport],
      ['address', of.address === '' ? NONE : of.address],
      ['opened', `${dated(of.openedAt)}, ${lasting(of.age)} ago`],
      ['credential ends', of.expires === undefined ? 'never' : dated(of.expires)],
      ['last sign of life', `${lasting(of.silence)} ago`],
      ['latency', of.latency === undefined ? NONE : brief(of.latency)],
      ['lag', `${scaled(of.outbox)}${of.isLagging ? ' \u25b2 its link takes no more' : ''}`],
      ['in', scaled(of.bytesIn)],
      ['out', scaled(of.bytesOut)]
    ]))
    setChildren(rooms, names.map((name) => h('li', {}, link(pathOf('rooms', name), name))))
    setText(heading, many(names.length, 'room'))
    setText(note, '')
    parts.hidden = false
  }
  const refresh = async (): Promise<void> => {
    try {
      show(await get<ConnectionDetail>(`/connections/${encodeURIComponent(key)}`))
      actions.hidden = !frame.mayAct()
    } catch (error) {
      const failure = error as Failure
      if (failure.status !== 404) return frame.failed(failure)
      actions.hidden = true
      setText(note, parts.hidden ? 'There is no such connection; it has ended.' : 'This connection has ended. This was read before:')
    }
  }
  return {
    title: `Connection ${key}`,
    element: h('div', {}, actions, note, parts),
    refresh
  }
}

/** Writes data in one line where it is short. */
function dataText (data: unknown): string {
  const line = JSON.stringify(data) ?? NONE
  return line.length <= ONE_LINE ? line : JSON.stringify(data, null, 1)
}

/** One room on all nodes: who is in it, and what was said last. */
export function roomView (frame: Frame, name: string): View {
  const members = connectionsListing(frame, `connections in ${name}`, { room: name })
  const list = h('dl', { class: 'facts' })
  const users = h('p', { class: 'users' })
  const present = h('section', { class: 'panel', 'aria-label': 'presence', hidden: true }, h('h2', {}, 'Present users'), users)
  const events = h('tbody')
  const kept = h('div', { class: 'scroll', hidden: true }, h('table', { 'aria-label': 'last events' },
    h('thead', {}, h('tr', {}, ...['offset', 'event', 'sent', 'size', 'data'].map((title) =>
      h('th', { scope: 'col', ...(title === 'offset' || title === 'size' ? { class: 'number' } : {}) }, title)))),
    events))
  const note = h('p', { class: 'quiet' })
  let isOpen = false
  const toggle = h('button', {
    type: 'button',
    'aria-pressed': 'false',
    onclick: () => {
      isOpen = !isOpen
      toggle.setAttribute('aria-pressed', String(isOpen))
      toggle.textContent = isOpen ? 'Hide data' : 'Show data'
      void refresh()
    }
  }, 'Show data')
  const row = ({ type, offset, timestamp, bytes, data }: EventView): HTMLElement => h('tr', {},
    h('td', { 'data-label': 'offset', class: 'number' }, offset === undefined ? NONE : counted(offset)),
    h('td', { 'data-label': 'event' }, type),
    h('td', { 'data-label': 'sent', class: 'whole', title: dated(timestamp) }, momentary(timestamp)),
    h('td', { 'data-label': 'size', class: 'number' }, scaled(bytes)),
    h('td', { 'data-label': 'data', class: 'data' }, isOpen ? h('pre', { tabindex: 0, 'data-key': `data ${offset ?? timestamp}` }, dataText(data)) : h('span', { class: 'quiet' }, 'hidden')))
  const show = (of: RoomDetail): void => {
    const total = of.nodes.reduce((sum, node) => sum + node.members, 0)
    setChildren(list, facts([
      ['definition', h('code', {}, of.definition)],
      ['members', many(total, 'connection')],
      ...(frame.isCluster()
        ? [['by node', of.nodes.map(({ node, members: n }) => `${node}:\u00a0${counted(n)}`).join(', ') +
          of.silent.map(({ node }) => `, ${node}: no answer`).join('')] as const]
        : []),
      ['offset', of.offset === undefined ? NONE : counted(of.offset)],
      ['epoch', of.epoch === undefined || of.epoch === '' ? NONE : h('code', {}, of.epoch)]
    ]))
    present.hidden = of.presence === undefined
    if (of.presence !== undefined) {
      const { total: all, users: named } = of.presence
      const said = named === undefined ? `${many(all, 'user')}, too many to list: the connections below can be searched` : many(all, 'user')
      setChildren(users, [h('span', {}, said), ...(named ?? []).map((user) => link(pathOf('users', user), user))])
    }
    setChildren(events, (of.events ?? []).map(row))
    kept.hidden = events.childElementCount === 0
    setText(note, of.events === undefined
      ? 'This room keeps no history.'
      : of.events.length === 0 ? 'No event is kept.' : 'The newest first. The data is asked for only when you show it.')
    toggle.hidden = !frame.maySeeData() || (of.events ?? []).length === 0
  }
  const refresh = async (): Promise<void> => {
    const asked = isOpen
    try {
      const of = await get<RoomDetail>('/room', { name, ...(asked ? { data: 'true' } : {}) })
      if (asked === isOpen) show(of)
    } catch (error) {
      frame.failed(error as Failure)
    }
    await members.refresh()
  }
  return {
    title: `Room ${name}`,
    element: h('div', {},
      h('section', { class: 'panel', 'aria-label': 'room' }, list),
      present,
      h('section', { class: 'panel listing', 'aria-label': 'last events' },
        h('div', { class: 'tools' }, h('h2', {}, 'Last events'), toggle, note),
        kept),
      h('h2', { class: 'over' }, 'Connections'),
      members.element),
    refresh
  }
}
