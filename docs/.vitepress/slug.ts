/** The anchor of a heading, as GitHub makes it: one link leads to the same place there and on the site. */
export function slugOf (title: string): string {
  return title.toLowerCase().replace(/[^\p{L}\p{N}_ -]/gu, '').replaceAll(' ', '-')
}
