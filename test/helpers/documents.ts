import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

/** The root of the repository, with a slash at its end. */
export const ROOT = fileURLToPath(new URL('../../', import.meta.url))

/** The text of a document, by its path below the root. */
export function documentOf (path: string): string { return readFileSync(`${ROOT}${path}`, 'utf8') }

/** The README, the skill for assistants, and every page of the site; `docs/api` is made by typedoc, and not ours. */
export const PAGES: readonly string[] = [
  'README.md',
  'skills/fastify-realtime/SKILL.md',
  ...readdirSync(`${ROOT}docs`, { recursive: true, encoding: 'utf8' })
    .filter((path) => path.endsWith('.md') && !/^(api|\.vitepress|public)\//.test(path))
    .map((path) => `docs/${path}`)
    .sort()
]

/** One fenced block of a document, with the file of which it says to be the text. */
export interface Block {
  readonly path: string
  readonly line: number
  readonly language: string
  readonly text: string
  /** From the comment `<!-- path -->` or `<!-- path#region -->` before the block; the path is below the root. */
  readonly quoted: string | undefined
}

/** Every fenced block of a document, in its order. */
export function blocksOf (path: string): Block[] {
  const blocks: Block[] = []
  const lines = documentOf(path).split('\n')
  for (let at = 0; at < lines.length; at++) {
    const fence = /^(\s*)```(\S*)/.exec(lines[at]!)
    if (fence === null) continue
    const end = lines.findIndex((line, index) => index > at && line === `${fence[1]!}\`\`\``)
    if (end === -1) throw new Error(`${path}:${at + 1}: the block has no end`)
    blocks.push({
      path,
      line: at + 1,
      language: fence[2]!,
      text: lines.slice(at + 1, end).join('\n'),
      quoted: /^<!-- (\S+\/\S+) -->$/.exec(lines[at - 1]?.trim() ?? '')?.[1]
    })
    at = end
  }
  return blocks
}

/**
 * The text that a block quotes: a whole file, or what stands there between `#region name` and `#endregion`, moved to
 * the left. Marks of other regions are left out.
 */
export function quotedText (reference: string): string {
  const [path, region] = reference.split('#') as [string, string?]
  const lines = documentOf(path).trimEnd().split('\n')
  const isMark = (line: string): boolean => /(?:\/\/|<!--) #(?:end)?region\b/.test(line)
  const start = region === undefined ? -1 : lines.findIndex((line) => line.match(/#region (\S+)/)?.[1] === region)
  if (region !== undefined && start === -1) throw new Error(`${path} has no region "${region}"`)
  const end = region === undefined
    ? lines.length
    : lines.findIndex((line, at) => at > start && line.includes('#endregion'))
  const shown = lines.slice(start + 1, end).filter((line) => !isMark(line))
  const depth = Math.min(...shown.filter((line) => line !== '').map((line) => line.search(/\S/)))
  return shown.map((line) => line.slice(depth)).join('\n').trim()
}

/** The lines of the chapter of a page in which a line is, counted from 1. */
export function chapterOf (page: string, line: number): string {
  const lines = documentOf(page).split('\n')
  const fences = blocksOf(page).map(({ line: start, text }) => [start, start + text.split('\n').length + 1] as const)
  const isHeading = (text: string, at: number): boolean =>
    /^#+ /.test(text) && !fences.some(([start, end]) => at + 1 > start && at + 1 < end)
  const start = lines.findLastIndex((text, at) => at < line && isHeading(text, at))
  const end = lines.findIndex((text, at) => at > line && isHeading(text, at))
  return lines.slice(Math.max(start, 0), end === -1 ? undefined : end).join('\n')
}

/** The text of a document without its fenced blocks. */
export function proseOf (path: string): string {
  return documentOf(path).replace(/^(\s*)```[^]*?^\1```$/gm, '')
}

/** The cells of the rows of a text's tables whose first cell is code. A bar within a cell has a backslash. */
export function rowsOf (text: string): string[][] {
  return text.split('\n')
    .filter((line) => line.startsWith('| `'))
    .map((line) => line.split(/(?<!\\)\|/).slice(1, -1).map((cell) => cell.trim()))
}

/** Whether a file or folder is there, by its path below the root. */
export function isThere (path: string): boolean { return existsSync(`${ROOT}${path}`) }
