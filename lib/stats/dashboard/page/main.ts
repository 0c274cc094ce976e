import type { NodeView } from '../../overview.js'
import { Failure, get, hasToken, setToken } from './api.js'
import { clear, later } from './clock.js'
import { connectionsView, connectionView, roomsView, roomView, userView, type View } from './details.js'
import { h, link, setText } from './elements.js'
import { legendPage } from './legend.js'
import type { Frame } from './lists.js'
import { createOverview } from './overview.js'
import { Series } from './series.js'
import { findings } from './thresholds.js'
import { wholeNodes } from './whole.js'
import { many, timed } from './words.js'

interface Nodes {
  readonly here: string
  readonly items: readonly NodeView[]
  readonly viewer: { readonly mayAct: boolean, readonly maySeeData: boolean }
}

/** Milliseconds between two looks, and after how many looks a list is read anew. */
const EVERY = 2_000
const LISTS = 2
const THEMES = ['auto', 'light', 'dark'] as const
const THEME_KEY = 'realtime-theme'

const series = new Series()
let nodes: Nodes | undefined
let chosen: string | undefined
let view: View | undefined
/** Number of the newest look. When several are under way, only the newest shows its answer. */
let turn = 0
let looks = 0
/** Whether the reader was refused: further requests would be refused too, and a rate limit would count them. */
let isStopped = false
let lastAnswer: Date | undefined

const scope = h('select', { id: 'scope', 'aria-label': 'nodes that are shown' })
const scopeField = h('label', { class: 'field', hidden: true }, h('span', {}, 'Show '), scope)
const theme = h('button', { type: 'button', id: 'theme' })
const leave = h('button', { type: 'button', id: 'leave', hidden: true }, 'Sign out')
/** It is read out when it changes; so the time, which always does, stands beside it. */
const state = h('p', { id: 'state', role: 'status' }, 'Reading\u2026')
const time = h('span', { id: 'time', class: 'quiet' })
const told = h('p', { id: 'told', role: 'status' })
const heading = h('h1', { tabindex: -1, id: 'title' })
const place = h('div', { id: 'place' })
const input = h('input', { id: 'token', type: 'password', autocomplete: 'off', spellcheck: 'false', required: true })
const fault = h('p', { class: 'fault', role: 'alert' })
const signIn = h('form', { id: 'sign-in', class: 'panel', hidden: true },
  h('h2', {}, 'Sign in'),
  h('p', { class: 'quiet' }, 'Give an admin\u2019s token, or the scrape token, which shows figures only. Who is signed in to this site by a cookie needs none.'),
  h('label', { for: 'token' }, 'Token'), input, fault, h('button', { class: 'primary' }, 'Show the figures'))
const tabs = ([['', 'Overview'], ['rooms', 'Rooms'], ['connections', 'Connections'], ['legend', 'Legend']] as const)
  .map(([hash, name]) => link(hash, name))
const skip = h('a', { class: 'skip', href: '#title' }, 'To the content')
const nav = h('nav', { 'aria-label': 'pages' }, ...tabs)
const main = h('main', { id: 'main', hidden: true }, heading, told, place)

const frame: Frame = {
  node: () => chosen,
  isCluster: () => (nodes?.items.length ?? 0) > 1,
  mayAct: () => nodes?.viewer.mayAct === true,
  maySeeData: () => nodes?.viewer.maySeeData === true,
  failed: (failure) => { explain(failure) },
  told: (text) => { setText(told, text) }
}
const overview = createOverview(frame, series, (node) => { choose(node) })

function choose (node: string | undefined): void {
  chosen = node
  scope.value = node ?? ''
  if (nodes !== undefined) overview.show(nodes.items)
  route(false)
}

/** Says why there are no new figures. What was shown stays, and says of when it is. */
function explain (failure: Failure): void {
  document.body.classList.toggle('stale', !failure.isForbidden)
  isStopped = failure.isForbidden
  if (!isStopped) {
    const since = lastAnswer === undefined ? '' : ` The figures are of ${timed(lastAnswer)}.`
    return say(`\u25a0 ${sentence(failure.message)}${since} Trying again.`, 'bad')
  }
  series.clear()
  nodes = undefined
  main.hidden = nav.hidden = true
  scopeField.hidden = leave.hidden = true
  signIn.hidden = false
  say('Not signed in.', '')
  setText(fault, failure.status === 401 && !hasToken() ? '' : `\u25a0 ${failure.message}`)
  input.focus()
}

function sentence (text: string): string { return `${text[0]!.toUpperCase()}${text.slice(1)}.` }

function say (text: string, className: string): void {
  setText(time, '')
  setText(state, text)
  state.className = className
}

function showScope (items: readonly NodeView[]): void {
  const names = items.map(({ node }) => node)
  if (chosen !== undefined && !names.includes(chosen)) chosen = undefined
  scopeField.hidden = names.length < 2
  if ([...scope.options].slice(1).map(({ value }) => value).join() !== names.join() || scope.options.length === 0) {
    scope.replaceChildren(h('option', { value: '' }, 'all nodes'), ...names.map((node) => h('option', { value: node }, node)))
  }
  scope.value = chosen ?? ''
}

function showState ({ items, here }: Nodes): void {
  const answering = items.filter(({ isAnswering }) => isAnswering).length
  const own = items.find(({ node }) => node === here)
  const adapter = own?.isAnswering === true ? String(own.stats.adapter.name) : ''
  const of = items.length === 1 ? `node ${here}` : `${answering} of ${many(items.length, 'node')}, asked by ${here}`
  const found = findings(items, series).length
  say([of, `adapter ${adapter}`, found === 0 ? 'nothing over its threshold' : many(found, 'finding')].join(' \u00b7 '), 'good')
  setText(time, timed(new Date()))
}

async function look (): Promise<void> {
  clear('look')
  const mine = ++turn
  try {
    const { items, ...rest } = await get<Nodes>('/nodes')
    if (mine !== turn) return
    const answer = { ...rest, items: wholeNodes(items) }
    const isFirst = nodes === undefined
    nodes = answer
    lastAnswer = new Date()
    document.body.classList.remove('stale')
    series.add(answer.items)
    showScope(answer.items)
    showState(answer)
    signIn.hidden = true
    main.hidden = nav.hidden = false
    leave.hidden = !hasToken()
    overview.show(answer.items)
    if (isFirst) route(false)
    else if (view !== overview && looks++ % LISTS === 0) await view?.refresh()
  } catch (error) {
    if (mine !== turn) return
    if (!(error instanceof Failure)) reportError(error)
    explain(error instanceof Failure ? error : new Failure('the answer of the server cannot be shown'))
  }
  if (!isStopped) later('look', () => { if (!document.hidden) void look() }, EVERY)
}

function decodedOf (name: string): string {
  try {
    return decodeURIComponent(name)
  } catch {
    // Somebody has typed it.
    return name
  }
}

function viewOf (): View {
  const [kind = '', name = ''] = location.hash.slice(1).split('/')
  const decoded = decodedOf(name)
  if (kind === 'rooms') return decoded === '' ? roomsView(frame) : roomView(frame, decoded)
  if (kind === 'connections') return decoded === '' ? connectionsView(frame) : connectionView(frame, decoded)
  if (kind === 'users' && decoded !== '') return userView(frame, decoded)
  if (kind === 'legend') return { title: 'Legend', element: legendPage(), async refresh () { /* Words do not change. */ } }
  return overview
}

/** Shows the page that the URL names. @param isMoved whether the reader asked for it, whose focus goes with it */
function route (isMoved: boolean): void {
  view = viewOf()
  setText(told, '')
  setText(heading, view.title)
  document.title = `${view.title} \u00b7 Realtime`
  place.replaceChildren(view.element)
  const kind = location.hash.slice(1).split('/')[0]!
  for (const tab of tabs) {
    if (tab.hash.slice(1) === kind || (kind === 'users' && tab.hash === '#connections')) tab.setAttribute('aria-current', 'page')
    else tab.removeAttribute('aria-current')
  }
  if (nodes !== undefined) void view.refresh()
  if (isMoved) heading.focus()
}

function setTheme (name: string): void {
  document.documentElement.dataset.theme = name
  setText(theme, `Theme: ${name}`)
  localStorage.setItem(THEME_KEY, name)
}

document.body.replaceChildren(
  skip,
  h('header', {}, h('div', { class: 'bar' }, h('strong', {}, 'Realtime'), nav, h('div', { class: 'tools' }, scopeField, theme, leave)),
    h('div', { class: 'line' }, state, time)),
  signIn, main)
nav.hidden = true
skip.addEventListener('click', (event) => {
  event.preventDefault()
  heading.focus()
})
setTheme(THEMES.find((name) => name === localStorage.getItem(THEME_KEY)) ?? 'auto')
theme.addEventListener('click', () => {
  const index = THEMES.findIndex((name) => name === document.documentElement.dataset.theme)
  setTheme(THEMES[(index + 1) % THEMES.length]!)
})
scope.addEventListener('change', () => { choose(scope.value === '' ? undefined : scope.value) })
leave.addEventListener('click', () => {
  setToken('')
  series.clear()
  void look()
})
signIn.addEventListener('submit', (event) => {
  event.preventDefault()
  setToken(input.value)
  input.value = ''
  isStopped = false
  void look()
})
addEventListener('hashchange', () => { route(true) })
document.addEventListener('visibilitychange', () => { if (!document.hidden && !isStopped) void look() })
void look()
