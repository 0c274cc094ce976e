/** The credentials that a URL carries in its parameters `token` and `ticket`. */
export interface FoundCredentials { readonly token?: string, readonly ticket?: string }

type Name = keyof FoundCredentials

/** Matches one of the names, or an escaped letter of one. */
const SUSPECT = /token|ticket|%[67]/

/** Whether a URL may have a credential among its parameters. Most have none, and are not examined any further. */
export function mayCarry (url: string): boolean {
  return SUSPECT.test(url) && /[?#&;]/.test(url)
}

/** Decodes what can be decoded and leaves the rest: a malformed escape must not hide a credential. */
function decode (text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    return text.replace(/%([0-7][0-9a-f])/gi, (_escape, hex: string) => String.fromCharCode(parseInt(hex, 16)))
  }
}

function nameOf (text: string): Name | undefined {
  const name = text.includes('%') ? decode(text) : text
  return name === 'token' || name === 'ticket' ? name : undefined
}

/**
 * Characters at which the router may end a path, and which may stand on either side of a parameter: more than the
 * router uses, never fewer.
 */
const DELIMITER = /([?#&;])/

/** Returns the URL without the parameters `token` and `ticket`, and their first values. */
export function strip (url: string): { url: string, found: FoundCredentials } | undefined {
  const [path = '', ...parts] = url.split(DELIMITER)
  const found: { token?: string, ticket?: string } = {}
  let rest = ''
  let hit = false
  for (let i = 0; i < parts.length; i += 2) {
    const delimiter = parts[i]!
    const text = parts[i + 1]!
    const at = text.indexOf('=')
    const name = nameOf(at === -1 ? text : text.slice(0, at))
    if (name === undefined) {
      rest += (hit && rest === '' ? '?' : delimiter) + text
      continue
    }
    hit = true
    const value = at === -1 ? '' : decode(text.slice(at + 1).replaceAll('+', ' '))
    if (value !== '') found[name] ??= value
  }
  return hit ? { url: path + rest, found } : undefined
}

/**
 * Returns the path as the most lenient router would read it: `/WS`, `//ws`, `/%77s` and `http://host/ws` are all below
 * `/ws`.
 */
export function normalize (url: string): string {
  const end = url.search(/[?#]/)
  const path = (end === -1 ? url : url.slice(0, end)).replace(/^[a-z][a-z0-9+.-]*:\/\/[^/]*/i, '')
  return decode(path).replace(/\/{2,}/g, '/').toLowerCase()
}

/**
 * Removes the credentials from the bytes of a request that could not be parsed: parameters of its URL, and values of
 * headers.
 */
export function withoutCredentials (text: string): string {
  return text
    .replace(
      /([?#&;])([^=?#&;\s]*)=[^?#&;\s]*/g,
      (whole, delimiter: string, name: string) => nameOf(name) === undefined ? whole : `${delimiter}${name}=`
    )
    .replace(/^((?:authorization|cookie)[ \t]*:).*$/gim, '$1')
    .replace(/\b(bearer(?:64)?\.)[^\s,]+/gi, '$1')
}
