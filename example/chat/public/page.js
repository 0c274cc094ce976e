/** An element of the page. */
export function $ (id) { return document.getElementById(id) }

/** A new element with text: what others wrote is never parsed as HTML. */
export function text (name, className, content) {
  return Object.assign(document.createElement(name), { className, textContent: content })
}
