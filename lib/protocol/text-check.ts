/** Characters or items of which the check is made, and characters of their JSON. */
const CHECKED = 16
const CHECKED_JSON = 64

/** A check (FNV-1a) of the last characters or items of the first `length` ones of a text. */
export function checkOf (text: string | readonly unknown[], length = text.length): number {
  let hash = 0x811c9dc5
  const end = JSON.stringify(text.slice(Math.max(0, length - CHECKED), length)).slice(-CHECKED_JSON)
  for (let index = 0; index < end.length; index++) hash = Math.imul(hash ^ end.charCodeAt(index), 0x01000193)
  return hash >>> 0
}
