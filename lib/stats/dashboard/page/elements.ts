import { counted } from './words.js'

/** An element of the page that is always there. */
export function byId<T extends HTMLElement = HTMLElement> (id: string): T { return document.getElementById(id) as T }

/** What the server says goes in as text alone, so that a room's name cannot be markup. */
export function element<K extends keyof HTMLElementTagNameMap> (
  name: K,
  text?: string,
  className?: string
): HTMLElementTagNameMap[K] {
  const made = document.createElement(name)
  if (text !== undefined) made.textContent = text
  if (className !== undefined) made.className = className
  return made
}

/** A figure with its title and a remark; with `percent` also as a meter. */
export function card (title: string, value: string, remark: string, percent?: number): HTMLElement {
  const made = element('div', undefined, 'card')
  made.append(element('small', title), element('b', value), element('small', remark))
  if (percent !== undefined) {
    const meter = element('meter')
    meter.max = 100
    meter.high = 90
    meter.optimum = 0
    meter.value = percent
    meter.setAttribute('aria-label', title)
    made.append(meter)
  }
  return made
}

/** Fills a table; an empty one says so. */
export function rows (id: string, list: ReadonlyArray<ReadonlyArray<string | number>>): void {
  const made = list.map((cells) => {
    const row = element('tr')
    row.append(...cells.map((cell) => element('td', typeof cell === 'number' ? counted(cell) : cell)))
    return row
  })
  if (made.length === 0) {
    const row = element('tr')
    const cell = element('td', 'none', 'none')
    // More than any of the tables has.
    cell.colSpan = 9
    row.append(cell)
    made.push(row)
  }
  byId(id).replaceChildren(...made)
}

/** The line of words below the title, `good` or `bad`. */
export function say (text: string, className = ''): void {
  byId('state').textContent = text
  byId('state').className = className
}
