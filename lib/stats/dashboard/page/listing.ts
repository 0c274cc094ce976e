import type { SortedPage } from '../../overview.js'
import { Failure, get } from './api.js'
import { later } from './clock.js'
import { h, setChildren, setText, type Child } from './elements.js'
import { counted, many } from './words.js'

export interface Column<V> {
  readonly title: string
  /** The word to sort by, where that is possible. */
  readonly sort?: string
  readonly isNumber?: boolean
  /** Short words that are not broken. */
  readonly isWhole?: boolean
  readonly cell: (view: V) => Child
}

export interface ListingOptions<V> {
  /** Names it to screen readers, and its timers. */
  readonly title: string
  /** Its things, in the singular. */
  readonly noun: string
  /** What is said behind their number. */
  readonly remark?: string
  readonly path: string
  readonly columns: ReadonlyArray<Column<V>>
  readonly sort: string
  readonly isDescending?: boolean
  /** What every page of it asks for. */
  readonly fixed?: Readonly<Record<string, string>>
  /** Choices beside the search, by the word of the query. */
  readonly filter?: { readonly name: string, readonly label: string, readonly values: readonly string[] }
  readonly isSearched?: boolean
  readonly node: () => string | undefined
  readonly failed: (failure: Failure) => void
}

/** A list of very many things, which the server sorts, searches and pages. */
export interface Listing {
  readonly element: HTMLElement
  refresh (): Promise<void>
}

/** Rows of a page. */
const ROWS = 50
/** Milliseconds without a key after which what was typed is searched for. */
const TYPING = 250

export function createListing<V extends object> (options: ListingOptions<V>): Listing {
  const { title, noun, remark, path, columns, fixed = {}, filter, isSearched = true, node, failed } = options
  let sort = options.sort
  let isDescending = options.isDescending ?? false
  let turn = 0
  let next: string | undefined
  /** Where the pages before this one began. */
  let before: Array<string | undefined> = []
  let after: string | undefined

  const search = h('input', { type: 'search', 'aria-label': `search ${title}`, placeholder: 'Search', maxlength: 200 })
  const choice = h('select', { 'aria-label': filter?.label ?? '' }, h('option', { value: '' }, filter?.label ?? ''),
    ...(filter?.values ?? []).map((value) => h('option', { value }, value)))
  const sorting = h('select', { 'aria-label': `sort ${title} by`, class: 'narrow' },
    ...columns.flatMap(({ title: name, sort: word }) => word === undefined
      ? []
      : [h('option', { value: `${word} asc` }, `${name}, up`), h('option', { value: `${word} desc` }, `${name}, down`)]))
  const range = h('span', { class: 'quiet', role: 'status' })
  const back = h('button', { type: 'button' }, 'Back')
  const forth = h('button', { type: 'button' }, 'Next')
  const heads = columns.map(({ title: name, sort: word, isNumber }) => {
    const head = h('th', { scope: 'col', ...(isNumber === true ? { class: 'number' } : {}) })
    if (word === undefined) head.append(name)
    else head.append(h('button', { type: 'button', onclick: () => { order(word, sort === word ? !isDescending : isNumber === true) } }, name))
    return head
  })
  const body = h('tbody')
  const table = h('table', { 'aria-label': title }, h('thead', {}, h('tr', {}, ...heads)), body)
  const element = h('section', { class: 'panel listing', 'aria-label': title },
    h('div', { class: 'tools' }, isSearched ? search : undefined, filter === undefined ? undefined : choice, sorting, range),
    h('div', { class: 'scroll' }, table),
    h('div', { class: 'pages' }, back, forth))

  const start = (): void => {
    before = []
    after = undefined
    next = undefined
    void refresh()
  }
  const order = (word: string, down: boolean): void => {
    sort = word
    isDescending = down
    start()
  }
  const showOrder = (): void => {
    for (const [index, head] of heads.entries()) {
      if (columns[index]!.sort === sort) head.setAttribute('aria-sort', isDescending ? 'descending' : 'ascending')
      else head.removeAttribute('aria-sort')
    }
    sorting.value = `${sort} ${isDescending ? 'desc' : 'asc'}`
  }
  const show = ({ items, total, next: following, silent }: SortedPage<V>): void => {
    next = following
    const rows = items.map((view) => h('tr', {}, ...columns.map(({ title: name, isNumber, isWhole, cell }) => {
      const className = isNumber === true ? 'number' : isWhole === true ? 'whole' : undefined
      return h('td', { 'data-label': name, class: className }, cell(view))
    })))
    const none = search.value === '' && choice.value === '' ? `There are no ${noun}s.` : `No ${noun} matches.`
    setChildren(body, rows.length > 0 ? rows : [h('tr', { class: 'none' }, h('td', { colspan: columns.length }, none))])
    const first = before.length * ROWS
    const said = items.length === 0 ? '' : `${counted(first + 1)}\u2013${counted(first + items.length)} of ${many(total, noun)}${remark ?? ''}`
    const missing = silent.map(({ node: name }) => `; ${name} does not answer`).join('')
    setText(range, said + missing)
    back.disabled = before.length === 0
    forth.disabled = next === undefined
    element.querySelector<HTMLElement>('.pages')!.hidden = before.length === 0 && next === undefined
  }
  const refresh = async (): Promise<void> => {
    const mine = ++turn
    showOrder()
    try {
      const page = await get<SortedPage<V>>(path, {
        ...fixed,
        sort,
        order: isDescending ? 'desc' : 'asc',
        limit: String(ROWS),
        search: search.value,
        node: node(),
        after,
        ...(filter === undefined ? {} : { [filter.name]: choice.value })
      })
      if (mine !== turn) return
      // The list became shorter while a late page was open.
      if (page.items.length === 0 && before.length > 0) start()
      else show(page)
    } catch (error) {
      if (mine === turn) failed(error as Failure)
    }
  }
  search.addEventListener('input', () => { later(`search ${title}`, start, TYPING) })
  choice.addEventListener('change', start)
  sorting.addEventListener('change', () => {
    const [word, way] = sorting.value.split(' ')
    order(word!, way === 'desc')
  })
  /** Who has read a page to its end begins the other one at its beginning. */
  const turnOver = async (): Promise<void> => {
    await refresh()
    if (element.getBoundingClientRect().top < 0) element.scrollIntoView()
  }
  back.addEventListener('click', () => {
    after = before.pop()
    next = undefined
    void turnOver()
  })
  forth.addEventListener('click', () => {
    // Where the next page begins is known again with the answer; a click before it would turn to a wrong one.
    if (next === undefined) return
    before.push(after)
    after = next
    next = undefined
    void turnOver()
  })
  return { element, refresh }
}
