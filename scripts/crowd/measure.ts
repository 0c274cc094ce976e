import { tokenOf } from './secret.js'
import type { Stage } from './stage.js'

const TIMES = 15
/** Milliseconds that the nodes are watched before and while they are asked. */
const WATCHED = 10_000

/** What one kind of answer took. */
export interface Answer {
  readonly name: string
  /** Milliseconds. */
  readonly median: number
  readonly longest: number
  /** Bytes of the last answer. */
  readonly bytes: number
  /** Milliseconds of CPU of each node for one answer, above what it uses anyway. */
  readonly cpu: number
}

interface Page { readonly next?: string, readonly items: ReadonlyArray<{ readonly key: string }> }

/** Asks as the page does, through the balancer. */
export class Asker {
  readonly #stage: Stage
  readonly #token = tokenOf('an-admin', 'admin')

  constructor (stage: Stage) {
    this.#stage = stage
  }

  async text (path: string): Promise<string> {
    const answer = await fetch(this.#stage.url + path, {
      headers: { authorization: `Bearer ${this.#token}`, accept: 'application/json' }
    })
    const text = await answer.text()
    if (!answer.ok) throw new Error(`${path}: ${answer.status} ${text}`)
    return text
  }

  async page (path: string): Promise<Page> { return JSON.parse(await this.text(path)) as Page }

  /** What the page asks for. */
  async paths (): Promise<Record<string, string>> {
    const first = await this.page('/connections?sort=latency&order=desc&limit=50')
    let after = first.next
    for (let each = 1; each < 20 && after !== undefined; each++) {
      after = (await this.page(`/connections?sort=latency&order=desc&limit=50&after=${after}`)).next ?? after
    }
    return {
      'the figures of all nodes': '/nodes',
      'connections by user': '/connections?sort=user&limit=50',
      'connections by latency': '/connections?sort=latency&order=desc&limit=50',
      'their 20th page': `/connections?sort=latency&order=desc&limit=50&after=${after ?? ''}`,
      'a search of connections': '/connections?sort=user&limit=50&search=zoe.w',
      'the connections of a user': '/connections?sort=age&limit=50&user=zoe.weber',
      'the connections in a room': '/connections?sort=user&limit=50&room=team%2F7',
      'rooms by members': '/rooms?sort=members&order=desc&limit=50',
      'a search of rooms': '/rooms?sort=members&order=desc&limit=50&search=team%2F77',
      'a room': '/room?name=team%2F7',
      'the largest room': '/room?name=hall%2Fmain',
      'a connection': `/connections/${first.items[0]?.key ?? ''}`
    }
  }

  /** @param idle milliseconds of CPU that a node uses anyway in a millisecond */
  async time (name: string, path: string, idle: number): Promise<Answer> {
    const took: number[] = []
    let bytes = 0
    await this.#stage.usage()
    for (let each = 0; each < TIMES; each++) {
      const start = performance.now()
      bytes = Buffer.byteLength(await this.text(path))
      took.push(performance.now() - start)
    }
    const used = await this.#stage.usage()
    const cpu = used.reduce((sum, of) => sum + of.cpu - of.wall * idle, 0) / used.length / TIMES
    took.sort((a, b) => a - b)
    return { name, median: took[TIMES >> 1]!, longest: took.at(-1)!, bytes, cpu }
  }

  /** Times all of them. */
  async all (): Promise<{ readonly answers: Answer[], readonly idle: number }> {
    const used = await this.#stage.usageIn(WATCHED)
    const idle = used.reduce((sum, of) => sum + of.cpu / of.wall, 0) / used.length
    const answers: Answer[] = []
    for (const [name, path] of Object.entries(await this.paths())) answers.push(await this.time(name, path, idle))
    return { answers, idle }
  }
}
