import { posix } from 'node:path'
import type { MarkdownRenderer } from 'vitepress'

const REPOSITORY = 'https://github.com/fastify-realtime/fastify-realtime'

/**
 * The link of a page to a file of the repository, as the site needs it; undefined for a link within the site.
 *
 * @param page - path of the page below `docs`
 * @param href - the link as the page has it
 */
function leadingOut (page: string, href: string): string | undefined {
  if (/^[a-z]+:|^[#/]/.test(href)) return undefined
  const target = posix.join('docs', posix.dirname(page), href)
  if (target.startsWith('docs/')) return undefined
  const kind = posix.extname(target) === '' ? 'tree' : 'blob'
  return `${REPOSITORY}/${kind}/main/${target}`
}

/** Links such as `../../example/chat` lead to the file on GitHub and, from the site, to the repository. */
export function linkRepository (md: MarkdownRenderer): void {
  md.core.ruler.push('repository-links', ({ tokens, env }) => {
    for (const token of tokens.flatMap(({ children }) => children ?? [])) {
      const href = token.type === 'link_open' ? token.attrGet('href') : null
      const outside = href === null ? undefined : leadingOut((env as { relativePath: string }).relativePath, href)
      if (outside !== undefined) token.attrSet('href', outside)
    }
  })
}
