import { spawnSync } from 'node:child_process'
import { mkdirSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import type { Browser, Page } from 'playwright-core'
import { findChromium, launchChromium } from '../../test/helpers/chromium.js'
import type { Teardown } from '../../test/helpers/servers.js'
import { tokenOf } from './secret.js'

const WIDTHS = [390, 768, 1_280, 1_920]
const SCHEMES = ['light', 'dark'] as const
/** Milliseconds that a page may take to show something. */
const PATIENCE = 20_000
/** Frames that are measured: ten seconds of a screen that shows 60 a second. */
const FRAMES = 600
const FRAME_TIMES = `new Promise((resolve) => {
  const times = []
  let last
  const frame = (at) => {
    if (last !== undefined) times.push(at - last)
    last = at
    if (times.length < ${FRAMES}) requestAnimationFrame(frame)
    else resolve(times.sort((a, b) => a - b))
  }
  requestAnimationFrame(frame)
})`

/** What the page itself costs its reader. */
export interface PageCost {
  /** Bytes of its heap after a collection. */
  readonly heap: number
  readonly elements: number
  /** Milliseconds of a frame. */
  readonly median: number
  readonly p99: number
  readonly longest: number
  /** Milliseconds of its own work in a second. */
  readonly work: number
}

/** The dashboard in a browser, as an admin has it open. */
export class Look {
  readonly page: Page
  readonly #url: string

  private constructor (page: Page, url: string) {
    this.page = page
    this.#url = url
  }

  /** @returns nothing where there is no browser */
  static async open (t: Teardown, url: string): Promise<Look | undefined> {
    if (findChromium() === undefined) return undefined
    const browser: Browser = await launchChromium(t as Parameters<typeof launchChromium>[0])
    const context = await browser.newContext({ viewport: { width: 1_280, height: 832 }, reducedMotion: 'reduce' })
    const token = JSON.stringify(tokenOf('an-admin', 'admin'))
    await context.addInitScript(`sessionStorage.setItem('realtime-token', ${token})`)
    return new Look(await context.newPage(), url)
  }

  /** Goes to a page, and waits for what it shows. @returns milliseconds that it took */
  async go (hash: string, text: RegExp): Promise<number> {
    const start = performance.now()
    await this.page.goto(`${this.#url}#${hash}`)
    await this.shows(text)
    return performance.now() - start
  }

  /** Sorts a list. @returns milliseconds until the page has what it has asked for */
  async sort (column: string): Promise<number> {
    const start = performance.now()
    const answered = this.page.waitForResponse((answer) => answer.url().includes('sort='))
    await this.page.getByRole('button', { name: column, exact: true }).click()
    await (await answered).finished()
    return performance.now() - start
  }

  /** Follows the first link that matches. @returns milliseconds until the page shows what is behind it */
  async follow (selector: string, text: RegExp): Promise<number> {
    const start = performance.now()
    await this.page.locator(selector).first().click()
    await this.shows(text)
    return performance.now() - start
  }

  /** Searches a list. @returns milliseconds until the page shows what was found */
  async type (words: string, text: RegExp): Promise<number> {
    const start = performance.now()
    await this.page.getByRole('searchbox').fill(words)
    await this.shows(text)
    return performance.now() - start
  }

  /** Acts, and says yes to the question. @returns milliseconds until the page shows that it was done */
  async act (verb: string, text: RegExp): Promise<number> {
    await this.page.getByRole('button', { name: verb }).click()
    const start = performance.now()
    await this.page.getByRole('dialog').getByRole('button', { name: verb, exact: true }).click()
    await this.shows(text)
    return performance.now() - start
  }

  async shows (text: RegExp): Promise<void> {
    await this.page.locator('body').filter({ hasText: text }).waitFor({ timeout: PATIENCE })
  }

  /** Presses a button of the page, and waits for what it shows. @returns milliseconds that it took */
  async press (name: string | RegExp, text: RegExp): Promise<number> {
    const start = performance.now()
    await this.page.getByRole('button', { name, exact: true }).click()
    await this.shows(text)
    return performance.now() - start
  }

  /** Takes a picture at every width, in light and in dark. */
  async shoot (folder: string, name: string): Promise<void> {
    mkdirSync(folder, { recursive: true })
    for (const width of WIDTHS) {
      await this.page.setViewportSize({ width, height: 900 })
      for (const colorScheme of SCHEMES) {
        await this.page.emulateMedia({ colorScheme })
        await this.page.waitForTimeout(100)
        await this.page.screenshot({ path: `${folder}/${name}-${width}-${colorScheme}.png`, fullPage: true })
      }
    }
    await this.page.setViewportSize({ width: 1_280, height: 832 })
    await this.page.emulateMedia({ colorScheme: 'light' })
  }

  /** Takes a picture for the documents, with few colours where `pngquant` is installed. */
  async picture (file: URL, height: number): Promise<void> {
    const path = fileURLToPath(file)
    const { width } = this.page.viewportSize()!
    await this.page.screenshot({ path, clip: { x: 0, y: 0, width, height }, fullPage: true })
    spawnSync('pngquant', ['--force', '--ext', '.png', '--nofs', '64', path])
  }

  async cost (): Promise<PageCost> {
    const session = await this.page.context().newCDPSession(this.page)
    await session.send('Performance.enable')
    const read = async (): Promise<Map<string, number>> =>
      new Map((await session.send('Performance.getMetrics')).metrics.map(({ name, value }) => [name, value]))
    const before = await read()
    const times = await this.page.evaluate(FRAME_TIMES) as number[]
    await session.send('HeapProfiler.collectGarbage')
    const after = await read()
    const more = (name: string): number => after.get(name)! - before.get(name)!
    return {
      heap: after.get('JSHeapUsedSize')!,
      elements: await this.page.evaluate("document.querySelectorAll('*').length") as number,
      median: times[FRAMES >> 1]!,
      p99: times[Math.floor(FRAMES * 0.99)]!,
      longest: times.at(-1)!,
      work: (more('ScriptDuration') + more('LayoutDuration') + more('RecalcStyleDuration')) / more('Timestamp') * 1_000
    }
  }
}
