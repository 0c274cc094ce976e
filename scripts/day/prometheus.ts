import { spawn, spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { freePort, until, type Teardown } from '../../test/helpers/servers.js'
import type { Cluster } from './cluster.js'

interface Answer { readonly data?: { readonly result: ReadonlyArray<{ readonly value: readonly [number, string] }> } }

/** What a query has found: its series, and the sum of their values. */
export interface Found { readonly series: number, readonly sum: number }

/** A Prometheus that scrapes the three nodes, as an operator has one. */
export class Prometheus {
  readonly #url: string

  private constructor (url: string) {
    this.#url = url
  }

  /** @returns `undefined` where it is not installed */
  static async open ({ nodes }: Cluster, t: Teardown): Promise<Prometheus | undefined> {
    if (spawnSync('prometheus', ['--version']).status !== 0) return undefined
    const directory = mkdtempSync(join(tmpdir(), 'day-'))
    t.teardown(() => { rmSync(directory, { recursive: true, force: true }) })
    const targets = nodes.map(({ url }) => `'${url.replace('http://', '')}'`).join(', ')
    writeFileSync(join(directory, 'prometheus.yml'), [
      'global: { scrape_interval: 1s }',
      'scrape_configs:',
      '  - job_name: realtime',
      '    metrics_path: /ws/stats',
      '    params: { format: [prometheus] }',
      '    authorization: { credentials: a-token-for-the-day }',
      `    static_configs: [{ targets: [${targets}] }]`,
      ''
    ].join('\n'))
    const port = await freePort()
    const child = spawn('prometheus', [
      `--config.file=${directory}/prometheus.yml`, `--storage.tsdb.path=${directory}/data`,
      `--web.listen-address=127.0.0.1:${port}`
    ], { stdio: 'ignore' })
    t.teardown(() => { child.kill('SIGKILL') })
    const prometheus = new Prometheus(`http://127.0.0.1:${port}`)
    await until('Prometheus has scraped all nodes', async () => (await prometheus.ask('up == 1')).series === 3, 20_000)
    return prometheus
  }

  async ask (query: string): Promise<Found> {
    const answer = await fetch(`${this.#url}/api/v1/query?query=${encodeURIComponent(query)}`).catch(() => undefined)
    const { data } = await answer?.json().catch(() => ({})) as Answer ?? {}
    const values = data?.result.map(({ value }) => Number(value[1])) ?? []
    return { series: values.length, sum: values.reduce((sum, value) => sum + value, 0) }
  }

  /** Whether a query finds more than it did before. */
  async finds (query: string, before: Found): Promise<boolean> {
    const { series, sum } = await this.ask(query)
    return series > before.series || sum > before.sum * 1.001
  }
}
