import { readdirSync, readFileSync } from 'node:fs'

const ROOT = new URL('../../example/', import.meta.url)

/** The examples with a folder and a command of their own. */
export const EXAMPLES: ReadonlyArray<{ readonly folder: string, readonly command: string }> = [
  { folder: 'smallest', command: 'npm run smallest' },
  { folder: 'chat', command: 'npm start' },
  { folder: 'support', command: 'npm run support' },
  { folder: 'ai', command: 'npm run assistant' },
  { folder: 'notifications', command: 'npm run notifications' },
  { folder: 'dashboard', command: 'npm run dashboard' },
  { folder: 'cursors', command: 'npm run cursors' },
  { folder: 'react', command: 'npm run chat:react' },
  { folder: 'vue', command: 'npm run chat:vue' },
  { folder: 'gateway', command: 'npm run gateway' },
  { folder: 'cores', command: 'npm run cores' },
  { folder: 'cluster', command: 'npm run cluster' },
  { folder: 'kafka', command: 'npm run bridge:kafka' },
  { folder: 'postgres', command: 'npm run bridge:postgres' },
  { folder: 'python', command: 'npm run python' }
]

type Side = 'server' | 'page' | 'style'

interface Counted { readonly file: string, readonly side: Side, readonly lines: number }

function sideOf (file: string): Side {
  if (file.endsWith('.css')) return 'style'
  return /^public\/|\.(?:html|vue)$|^(?:main|client|chat|answer)\.tsx?$/.test(file) ? 'page' : 'server'
}

/** The files of an example with their lines; those of the steps of the tutorial and of its test are counted nowhere. */
export function linesOf (folder: string): Counted[] {
  return readdirSync(new URL(folder, ROOT), { recursive: true, encoding: 'utf8' })
    .filter((file) => /\.(?:ts|tsx|vue|js|html|css|py|conf|sql)$|^(?:realtime|tsconfig)\.json$/.test(file))
    .filter((file) => !/^steps\/|\.test\.ts$|^tsconfig\.json$/.test(file))
    .sort()
    .map((file) => ({
      file,
      side: sideOf(file),
      lines: readFileSync(new URL(`${folder}/${file}`, ROOT), 'utf8').trimEnd().split('\n').length
    }))
}

/** A row for each example: its lines for the server, for the page and its style, in all, and those of each file. */
export function exampleLines (): string {
  const rows = EXAMPLES.map(({ folder, command }) => {
    const files = linesOf(folder)
    const sum = (side?: Side): string => {
      const counted = files.filter((each) => side === undefined || each.side === side)
      const lines = counted.reduce((all, each) => all + each.lines, 0)
      return lines === 0 ? '-' : `${lines}`
    }
    const each = files.map(({ file, lines }) => `${file.replace('public/', '')} ${lines}`).join(', ')
    return `| [${folder}](${folder}) | \`${command}\` | ${sum('server')} | ${sum('page')} | ${sum('style')} | ${sum()} | ${each} |`
  })
  return ['| example | command | server | page | style | in all | each file |', '|---|---|---|---|---|---|---|', ...rows].join('\n')
}
