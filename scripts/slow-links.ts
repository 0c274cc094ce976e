/**
 * `npm run bench:slow-links -- [--rounds 3] [--write]`: how old the values of a page are on a link that slows down, by
 * the same story as test/stories/links-that-slow-down.test.ts, one link at a time; `--write` puts it into
 * bench/SLOW-LINKS.md, from which docs/guides/slow-links.md takes its figures.
 */
import { parseArgs } from 'node:util'
import { describeMachine } from '../bench/machine.js'
import { show } from '../bench/page.js'
import { range, table } from '../bench/table.js'
import { spread } from '../bench/sample.js'
import type { Teardown } from '../test/helpers/servers.js'
import { LINKS, MOST, RATES, slowDown, type Link, type Rate, type SlowLink } from '../test/stories/slow-link.js'

const { values } = parseArgs({
  options: { rounds: { type: 'string', default: '3' }, write: { type: 'boolean', default: false } }
})
const TITLES: Readonly<Record<Link, string>> = { websocket: 'WebSocket', sse: 'SSE with our client' }

async function told (link: Link, rate: Rate): Promise<SlowLink> {
  const steps: Array<() => unknown> = []
  const scope: Teardown = { teardown: (step) => { steps.unshift(step) } }
  try {
    return await slowDown(scope, link, rate)
  } finally {
    for (const step of steps) await step()
  }
}

const rows: string[][] = []
for (const link of LINKS) {
  for (const rate of RATES) {
    const rounds: SlowLink[] = []
    for (let n = 0; n < Number(values.rounds); n++) rounds.push(await told(link, rate))
    const complaints = rounds.flatMap(({ errors }) => errors)
    if (complaints.length > 0) throw new Error(complaints.join())
    const seconds = (of: (round: SlowLink) => number): string =>
      range(spread(rounds.map(of)), (ms) => (ms / 1_000).toFixed(1))
    rows.push([
      `${TITLES[link]} ${rate} B/s`, seconds(({ peak }) => peak), seconds(({ back }) => back),
      seconds(({ settled }) => settled), (MOST[rate][link] / 1_000).toFixed(1),
      range(spread(rounds.map(({ held }) => held)), String)
    ])
  }
}
show('SLOW-LINKS.md', `# How old the values of a slow link are

\`npm run bench:slow-links -- --write\`: ten values that change five times a second, behind 256 kB of buffers on the way.
The link is a fast one until it slows down. Server, client and the way share a process and the machine. Each row has
the median of ${values.rounds} rounds, and the least and the most of them. Ages are in seconds, \`held\` is in bytes.

${describeMachine().join('  \n')}

## Ages

${table(['link', 'oldest while it slows down', 'below the bound after', 'oldest from then on', 'bound of the test', 'held'], rows)}
`)
