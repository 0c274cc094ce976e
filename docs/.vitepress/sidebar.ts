import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

const DOCS = fileURLToPath(new URL('..', import.meta.url))

/** The areas in the order of the sidebar. A page that its list does not name follows by its title. */
const AREAS: ReadonlyArray<readonly [folder: string, title: string, first: readonly string[]]> = [
  ['tutorial', 'Tutorial', []],
  ['guides', 'Guides', ['smallest-app', 'traps', 'authentication', 'origins', 'plugins', 'testing']],
  ['operate', 'Operate', [
    'several-nodes', 'shutdown', 'stats', 'dashboard', 'health', 'logs', 'tracing', 'grafana', 'troubles'
  ]],
  ['explain', 'Understand', ['promises']],
  ['reference', 'Reference', [
    'install', 'contracts', 'schemas', 'handlers', 'rooms', 'options', 'client', 'codes', 'urls', 'wire-protocol'
  ]]
]

interface Link { readonly text: string, readonly link: string }

function titleOf (path: string): string {
  return /^# (.+)$/m.exec(readFileSync(`${DOCS}${path}.md`, 'utf8'))?.[1] ?? path
}

/** The links of one area, made of the files in its folder: a page that is new needs no entry anywhere. */
function linksOf (folder: string, first: readonly string[]): Link[] {
  if (!existsSync(`${DOCS}${folder}`)) return []
  const names = readdirSync(`${DOCS}${folder}`)
    .filter((file) => file.endsWith('.md'))
    .map((file) => file.slice(0, -3))
  const place = (name: string): number => first.includes(name) ? first.indexOf(name) : first.length
  return names
    .map((name) => ({ name, text: titleOf(`${folder}/${name}`), link: `/${folder}/${name}` }))
    .sort((one, other) => place(one.name) - place(other.name) || one.text.localeCompare(other.text, 'en'))
    .map(({ text, link }) => ({ text, link }))
}

/** What stands at the side of every page. */
export function sidebar (): Array<{ text: string, items: Link[], collapsed: boolean }> {
  const groups = AREAS
    .map(([folder, text, first]) => {
      const isOpen = folder === 'tutorial' || folder === 'guides'
      return { text, items: linksOf(folder, first), collapsed: !isOpen }
    })
    .filter(({ items }) => items.length > 0)
  const trouble = existsSync(`${DOCS}troubleshooting.md`)
    ? [{ text: 'Help', items: [{ text: titleOf('troubleshooting'), link: '/troubleshooting' }], collapsed: false }]
    : []
  return [...groups, ...trouble]
}
