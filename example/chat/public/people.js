import { $, text } from './page.js'

/** milliseconds that a typing mark stays */
const TYPING_SHOWN = 4_000

const typing = new Map()
let me
let room

/** Shows who is in a room, and who types there. @param user the one of this page */
export function showPeople (chat, user) {
  me = user.sub
  room = chat
  room.on('typing', ({ data: { by, name } }) => {
    setTyping(by, { name, timer: setTimeout(() => { setTyping(by) }, TYPING_SHOWN) })
  })
  room.on('presence', showOnline)
  showOnline()
}

export function isMe (userId) { return userId === me }

export function nameOf (userId) { return room.members.get(userId)?.data?.name ?? userId }

/** Notes that somebody types, or without an entry that this is over. */
export function setTyping (by, entry) {
  clearTimeout(typing.get(by)?.timer)
  if (entry === undefined) typing.delete(by)
  else typing.set(by, entry)
  const names = [...typing.values()].map(({ name }) => name)
  $('typing').textContent = names.length === 0 ? '' : `${names.join(', ')} ${names.length === 1 ? 'is' : 'are'} typing …`
}

export function showOnline () {
  const members = [...room.members.values()].sort((a, b) => a.data.name.localeCompare(b.data.name))
  $('online-count').textContent = members.length
  $('online').replaceChildren(...members.map(({ userId, data }) => text('li', '', isMe(userId) ? `${data.name} (you)` : data.name)))
  // What was said to somebody may have come before the names.
  for (const head of document.querySelectorAll('[data-to]')) head.textContent = `only to ${nameOf(head.dataset.to)}`
  const to = $('to').value
  const others = members.filter(({ userId }) => !isMe(userId))
  $('to').replaceChildren(
    new Option('Everybody here', ''),
    ...others.map(({ userId, data }) => new Option(`Only ${data.name}`, userId)),
    ...(to !== '' && !others.some(({ userId }) => userId === to) ? [new Option(`Only ${to} (away)`, to)] : [])
  )
  $('to').value = to
}
