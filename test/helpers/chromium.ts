import { existsSync } from 'node:fs'
import { chromium, type Browser, type Page } from 'playwright-core'
import type { Test } from 'tap'
import { freePort } from './servers.js'

const PLACES = [
  '/usr/bin/chromium',
  '/usr/bin/chromium-browser',
  '/usr/bin/google-chrome',
  '/usr/bin/google-chrome-stable'
]

/** Chromium without windows: the same engine, which costs a third less where nothing of a window is looked at. */
const WINDOWLESS = '/usr/bin/chromium-headless-shell'

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

/** A browser without windows, where it is installed, for one test, which looks at pages; it ends with the test. */
export async function launchWindowless (t: Test): Promise<Browser> {
  const isMeant = process.env.CHROMIUM === undefined && existsSync(WINDOWLESS)
  return await launchChromium(t, [], [], isMeant ? WINDOWLESS : undefined)
}

/** A browser for one test; it ends with the test. */
export async function launchChromium (
  t: Test,
  args: readonly string[] = [],
  ignoreDefaultArgs: string[] = [],
  executablePath = findChromium()
): Promise<Browser> {
  if (executablePath === undefined) throw new Error('no Chromium; install it, or set CHROMIUM to its path')
  const browser = await chromium.launch({ executablePath, args: [...ARGS, ...args], ignoreDefaultArgs })
  t.teardown(async () => { await browser.close() })
  return browser
}

/** Without these flags of playwright's a hidden page is throttled as it is for a user. */
const AWAKE = [
  '--disable-background-timer-throttling',
  '--disable-backgrounding-occluded-windows',
  '--disable-renderer-backgrounding'
]

/**
 * A tab that is hidden when another is in front: playwright's own pages count as visible and focused wherever they are,
 * and cannot be frozen.
 */
export async function openTab (t: Test): Promise<Page> {
  const port = await freePort()
  await launchChromium(t, [`--remote-debugging-port=${port}`], AWAKE)
  const browser = await chromium.connectOverCDP(`http://127.0.0.1:${port}`, { noDefaults: true })
  t.teardown(async () => { await browser.close() })
  return await browser.contexts()[0]!.newPage()
}
