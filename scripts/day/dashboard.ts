import { spawnSync } from 'node:child_process'
import { mkdirSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import type { Browser, Page } from 'playwright-core'
import { findChromium, launchChromium } from '../../test/helpers/chromium.js'
import type { Teardown } from '../../test/helpers/servers.js'
import type { Cluster } from './cluster.js'

const FOLDER = new URL('../../docs/public/troubles/', import.meta.url)
/** Pixels: the line of the nodes, what is over its threshold, and the figures. */
const SIZE = { width: 900, height: 700 }
/** Milliseconds in which the page has looked twice, so that it knows rates. */
const LOOKS = 4_500

/** The dashboard of the first node, as an operator has it open. */
export class Dashboard {
  readonly #browser: Browser
  readonly #cluster: Cluster
  #page: Page | undefined

  private constructor (browser: Browser, cluster: Cluster) {
    this.#browser = browser
    this.#cluster = cluster
  }

  /** @returns nothing where there is no browser */
  static async open (cluster: Cluster, t: Teardown): Promise<Dashboard | undefined> {
    if (findChromium() === undefined) return undefined
    return new Dashboard(await launchChromium(t as Parameters<typeof launchChromium>[0]), cluster)
  }

  /** Opens the page anew: what was before is none of its findings. */
  async begin (): Promise<void> {
    await this.#page?.close()
    const page = this.#page = await this.#browser.newPage({ viewport: SIZE, reducedMotion: 'reduce' })
    await page.goto(`${this.#cluster.nodes[0].url}/ws/stats`)
    await page.fill('#token', 'a-token-for-the-day')
    await page.keyboard.press('Enter')
    await page.locator('.cards').waitFor()
    await page.waitForTimeout(LOOKS)
  }

  /** Whether one of the findings says so. */
  async finds (text: RegExp, timeout: number): Promise<boolean> {
    const found = this.#page!.locator('.alerts li').filter({ hasText: text }).first()
    return await found.waitFor({ timeout }).then(() => true, () => false)
  }

  /** Takes a picture, with few colours where `pngquant` is installed. */
  async picture (name: string): Promise<void> {
    mkdirSync(FOLDER, { recursive: true })
    const page = this.#page!
    const path = fileURLToPath(new URL(`${name.replace(' ', '-')}.png`, FOLDER))
    const { y = 0, height = SIZE.height } = await page.locator('.cards').boundingBox() ?? {}
    // Nothing is cut in two at the lower edge.
    await page.screenshot({ path, clip: { x: 0, y: 0, width: SIZE.width, height: y + height + 16 } })
    // Flat colours need no more, and a quarter of the bytes.
    spawnSync('pngquant', ['--force', '--ext', '.png', '--nofs', '64', path])
  }
}
