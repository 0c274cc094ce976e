/**
 * Bytes that a text takes in memory: two for each character where one of it is beyond Latin-1, which is told by the
 * bytes that it has in UTF-8. What is in Latin-1 and not in ASCII counts twice as well.
 */
export function textBytes (text: string): number {
  return Buffer.byteLength(text) === text.length ? text.length : 2 * text.length
}
