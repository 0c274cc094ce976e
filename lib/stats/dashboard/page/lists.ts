import type { ConnectionRow, RoomRow } from '../../lists.js'
import type { Failure } from './api.js'
import { h, link, pathOf, type Child } from './elements.js'
import { createListing, type Column, type Listing } from './listing.js'
import { brief, counted, lasting, NONE, scaled } from './words.js'

/** What a page needs of the one around it. */
export interface Frame {
  /** The node that is looked at; without one all of them. */
  readonly node: () => string | undefined
  /** Whether there are several nodes to tell apart. */
  readonly isCluster: () => boolean
  readonly mayAct: () => boolean
  readonly maySeeData: () => boolean
  readonly failed: (failure: Failure) => void
  /** Says that something was done. */
  readonly told: (text: string) => void
}

const NODE = { title: 'node', isWhole: true, cell: ({ node }: { readonly node: string }): Child => h('code', {}, node) }

function columnsOf (isOfUser: boolean, isCluster: boolean): Array<Column<ConnectionRow>> {
  return [
    ...(isOfUser
      ? []
      : [{ title: 'user', sort: 'user', cell: ({ userId }: ConnectionRow) => link(pathOf('users', userId), userId) }]),
    {
      title: 'connection',
      isWhole: true,
      cell: ({ key }) => link(pathOf('connections', key), isCluster ? key : `#${key.split('.')[1]}`, 'code')
    },
    { title: 'transport', sort: 'transport', isWhole: true, cell: ({ transport }) => transport },
    { title: 'address', sort: 'address', cell: ({ address }) => address },
    { title: 'open for', sort: 'age', isNumber: true, cell: ({ age }) => lasting(age) },
    {
      title: 'latency',
      sort: 'latency',
      isNumber: true,
      cell: ({ latency }) => latency === undefined ? NONE : brief(latency)
    },
    { title: 'lag', sort: 'waiting', isNumber: true, cell: ({ outbox }) => scaled(outbox) },
    { title: 'in', sort: 'in', isNumber: true, cell: ({ bytesIn }) => scaled(bytesIn) },
    { title: 'out', sort: 'out', isNumber: true, cell: ({ bytesOut }) => scaled(bytesOut) },
    { title: 'rooms', sort: 'rooms', isNumber: true, cell: ({ roomCount }) => counted(roomCount) }
  ]
}

/**
 * A list of connections.
 *
 * @param fixed of which user, or in which room
 */
export function connectionsListing (
  frame: Frame,
  title: string,
  fixed: Readonly<Record<string, string>> = {}
): Listing {
  const isOfUser = fixed.user !== undefined
  return createListing<ConnectionRow>({
    ...frame,
    title,
    noun: 'connection',
    path: '/connections',
    columns: columnsOf(isOfUser, frame.isCluster()),
    sort: isOfUser ? 'age' : 'user',
    fixed,
    filter: { name: 'transport', label: 'all transports', values: ['websocket', 'sse', 'polling'] },
    isSearched: !isOfUser
  })
}

/** The list of rooms. */
export function roomsListing (frame: Frame): Listing {
  return createListing<RoomRow>({
    ...frame,
    title: 'rooms',
    noun: 'room',
    ...(frame.isCluster() ? { remark: '; one that is on several nodes stands here once for each' } : {}),
    path: '/rooms',
    columns: [
      { title: 'room', sort: 'name', cell: ({ name }) => link(pathOf('rooms', name), name) },
      { title: 'definition', sort: 'definition', cell: ({ definition }) => definition },
      ...(frame.isCluster() ? [NODE] : []),
      { title: 'members', sort: 'members', isNumber: true, cell: ({ members }) => counted(members) },
      { title: 'offset', sort: 'offset', isNumber: true, cell: ({ offset }) => offset === undefined ? NONE : counted(offset) }
    ],
    sort: 'members',
    isDescending: true
  })
}
