export type Child = Node | string | undefined
type Value = string | number | boolean | undefined | ((event: Event) => void)

const SVG = 'http://www.w3.org/2000/svg'

function fill (made: Element, attributes: Readonly<Record<string, Value>>, children: readonly Child[]): void {
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === 'function') made.addEventListener(name.slice(2), value)
    else if (value === true) made.setAttribute(name, '')
    else if (value !== undefined && value !== false) made.setAttribute(name, String(value))
  }
  made.append(...children.filter((child) => child !== undefined))
}

/**
 * Makes an element. What the server sent is inserted as text only, so that the name of a room cannot be markup.
 *
 * @param attributes by name; a function is a listener of the event behind its `on`
 */
export function h<K extends keyof HTMLElementTagNameMap> (
  name: K,
  attributes: Readonly<Record<string, Value>> = {},
  ...children: Child[]
): HTMLElementTagNameMap[K] {
  const made = document.createElement(name)
  fill(made, attributes, children)
  return made
}

/** Makes an element of a drawing. */
export function svg<K extends keyof SVGElementTagNameMap> (
  name: K,
  attributes: Readonly<Record<string, Value>> = {},
  ...children: Child[]
): SVGElementTagNameMap[K] {
  const made = document.createElementNS(SVG, name) as SVGElementTagNameMap[K]
  fill(made, attributes, children)
  return made
}

/** Sets a text, unless it stands there already: a screen reader would read it again. */
export function setText (node: Element, text: string): void {
  if (node.textContent !== text) node.textContent = text
}

/**
 * Puts other children in the place of those that are there, unless they read the same, and keeps the focus on the one
 * with the same `data-key`.
 */
export function setChildren (parent: Element, children: readonly Node[]): void {
  const wrapped = h('div', {}, ...children)
  if (parent.innerHTML === wrapped.innerHTML) return
  const focused = document.activeElement
  const key = focused !== null && parent.contains(focused) ? focused.getAttribute('data-key') : null
  // Of several with one key, as two connections of a user have, the one in the same place.
  const place = key === null ? 0 : keyed(parent, key).indexOf(focused as HTMLElement)
  parent.replaceChildren(...wrapped.childNodes)
  if (key === null) return
  const same = keyed(parent, key)
  same[Math.min(place, same.length - 1)]?.focus()
}

/** The elements with a `data-key`. */
export function keyed (parent: ParentNode, key: string): HTMLElement[] {
  return [...parent.querySelectorAll<HTMLElement>(`[data-key="${CSS.escape(key)}"]`)]
}

/** A link within the page. */
export function link (hash: string, text: string, className = ''): HTMLAnchorElement {
  return h('a', { href: `#${hash}`, 'data-key': hash, ...(className === '' ? {} : { class: className }) }, text)
}

/** Where the page of something is. */
export function pathOf (kind: 'rooms' | 'users' | 'connections', name: string): string {
  return `${kind}/${encodeURIComponent(name)}`
}
