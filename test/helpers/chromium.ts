import { existsSync } from 'node:fs'
import { chromium, type Browser } from 'playwright-core'
import type { Test } from 'tap'

const PLACES = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome', '/usr/bin/google-chrome-stable']

/** Without these the browser calls home, or waits for a graphics card and a sandbox that a container does not have. */
const ARGS = [
  '--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run',
  '--disable-background-networking', '--disable-component-update', '--disable-sync'
]

/** Where a browser is installed; `CHROMIUM` names another place. */
export function findChromium (): string | undefined {
  const { CHROMIUM } = process.env
  return (CHROMIUM === undefined ? PLACES : [CHROMIUM]).find((path) => existsSync(path))
}

/** What to give a test as `skip`: the reason where there is no browser, and no skip where a CI should have one. */
export function skipWithoutChromium (): string | false {
  if (findChromium() !== undefined || process.env.CI !== undefined) return false
  return `no Chromium (looked for ${process.env.CHROMIUM ?? PLACES.join(', ')}; set CHROMIUM to its path)`
}

/** A browser for one test; it ends with the test. */
export async function launchChromium (t: Test, args: readonly string[] = []): Promise<Browser> {
  const executablePath = findChromium()
  if (executablePath === undefined) throw new Error('no Chromium; install it, or set CHROMIUM to its path')
  const browser = await chromium.launch({ executablePath, args: [...ARGS, ...args] })
  t.teardown(async () => { await browser.close() })
  return browser
}
