import { wasMissed } from './break.js'
import { $, text } from './page.js'
import { isMe, nameOf } from './people.js'

/** milliseconds between two messages that stand under one head */
const TOGETHER = 300_000

const list = $('messages')
const shown = new Set()
let isAtEnd = true
const time = new Intl.DateTimeFormat(undefined, { hour: '2-digit', minute: '2-digit' })

// Who reads the end still does when a banner, a keyboard or a turned phone takes the room: that scrolls too, unmeant.
let size
const sizeOf = () => `${list.clientWidth} ${list.clientHeight}`
list.addEventListener('scroll', () => {
  if (sizeOf() === size) isAtEnd = list.scrollHeight - list.scrollTop - list.clientHeight < 80
})
new ResizeObserver(() => {
  size = sizeOf()
  if (isAtEnd) list.scrollTop = list.scrollHeight
}).observe(list)

export function clearMessages () {
  shown.clear()
  list.replaceChildren(text('li', 'empty', 'Nothing has been said here yet.'))
}

/** Shows what was said, once. @param kind `said`, `direct` or `announcement` */
export function showMessage (kind, { data, timestamp }) {
  if (shown.has(data.id)) return
  shown.add(data.id)
  const isOwn = isMe(data.by)
  const line = document.createElement('li')
  line.className = `message ${kind}${isOwn && kind !== 'announcement' ? ' own' : ''}`
  line.dataset.timestamp = timestamp
  line.dataset.author = `${kind} ${data.by} ${data.to ?? ''}`
  const head = document.createElement('header')
  head.append(text('strong', '', isOwn ? 'You' : data.name))
  if (kind === 'direct') head.append(text('em', '', isOwn ? `only to ${nameOf(data.to)}` : 'only to you'))
  if (kind === 'direct' && isOwn) head.lastChild.dataset.to = data.to
  if (kind === 'announcement') head.append(text('em', '', 'to everybody'))
  head.append(Object.assign(text('time', '', time.format(timestamp)), { dateTime: new Date(timestamp).toISOString() }))
  if (!isOwn && wasMissed(timestamp)) head.append(text('span', 'late', 'caught up'))
  line.append(head, text('p', '', data.text))
  insert(line)
}

/** Shows what this page sends, behind everything else. @returns the line, to be removed when there is an answer */
export function showPending (said) {
  const line = text('li', 'message own pending', said)
  line.dataset.timestamp = Number.MAX_SAFE_INTEGER
  insert(line)
  return line
}

export function notice (message) {
  const line = text('li', 'notice', message)
  line.dataset.timestamp = Date.now()
  insert(line)
}

/** Three rooms, each in order: the page sorts them by time. */
function insert (line) {
  list.querySelector('.empty')?.remove()
  const all = list.children
  let at = all.length
  while (at > 0 && Number(all[at - 1].dataset.timestamp ?? 0) > Number(line.dataset.timestamp)) at--
  list.insertBefore(line, all[at] ?? null)
  for (const each of [line, line.nextElementSibling]) group(each)
  if (isAtEnd || line.classList.contains('own')) list.scrollTop = list.scrollHeight
}

/** What one person says in one go stands under one head. */
function group (line) {
  const before = line?.previousElementSibling
  if (line?.dataset.author === undefined) return
  const isSoon = line.dataset.timestamp - before?.dataset.timestamp < TOGETHER
  line.classList.toggle('follows', isSoon && before.dataset.author === line.dataset.author)
}
