import type { UpFrame } from './links/link.js'

/** Bytes of a frame in UTF-8, of which each is escaped or a character. */
export function bytesOf (frame: UpFrame): number {
  return encodeURIComponent(JSON.stringify(frame)).replace(/%../g, '-').length
}
