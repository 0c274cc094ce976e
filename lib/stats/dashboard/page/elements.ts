import { counted } from './words.js'

/** Returns an element that the page always has. */
export function byId<T extends HTMLElement = HTMLElement> (id: string): T { return document.getElementById(id) as T }

/** Makes an element. What the server sent is inserted as text only, so that the name of a room cannot be markup. */
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

/** Makes a card with a figure, its title and a remark; with `percent` it also has a meter. */
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

/** Fills a table. An empty one says "none". */
export function rows (id: string, list: ReadonlyArray<ReadonlyArray<string | number>>): void {
  const made = list.map((cells) => {
    const row = element('tr')
    row.append(...cells.map((cell) => element('td', typeof cell === 'number' ? counted(cell) : cell)))
    return row
  })
  if (made.length === 0) {
    const row = element('tr')
    const cell = element('td', 'none', 'none')
    // No table has so many columns.
    cell.colSpan = 9
    row.append(cell)
    made.push(row)
  }
  byId(id).replaceChildren(...made)
}

/** Sets the status line below the title; the class is `good` or `bad`. */
export function say (text: string, className = ''): void {
  byId('state').textContent = text
  byId('state').className = className
}
