import type { Look } from './look.js'

const PICTURES = new URL('../../docs/public/dashboard/', import.meta.url)
/** Milliseconds after which the charts of a picture are full. */
const CHARTED = 65_000

/**
 * Goes through all pages as an admin does, and ends on the list of connections.
 *
 * @param folder where pictures of all of them are kept; absent: nowhere
 * @returns milliseconds until each of them was shown
 */
export async function lookAround (look: Look, folder: string | undefined): Promise<Array<[string, number]>> {
  const { page } = look
  const shown: Array<[string, number]> = []
  const note = async (what: string, took: Promise<number>): Promise<void> => {
    shown.push([what, await took])
    if (folder !== undefined) await look.shoot(folder, what.replaceAll(/\W+/g, '-'))
  }
  await note('overview', look.go('', /Nodes.*connections[\d,]+ of/))
  await note('connections', look.go('connections', /1\u201350 of/))
  for (const column of ['latency', 'out', 'address']) await note(`sorted by ${column}`, look.sort(column))
  await note('the next page', look.press('Next', /51\u2013100 of/))
  await note('a search', look.type('chloe.a', /1\u20133 of 3 connections/))
  await note('a user', look.go('users/ben.almeida', /1\u20133 of 3/))
  await note('a connection', look.follow('td a.code', /credential ends/))
  await note('its end', look.act('Disconnect', /This connection has ended/))
  await note('a user who was kept out', look.go('users/ben.almeida', /1\u20132 of 2/).then(async () =>
    await look.act('Revoke', /There are no connections/)))
  await note('rooms', look.go('rooms', /1\u201350 of/))
  await note('the lobby', look.go('rooms/team%2Flobby', /Last events.*1\u201350 of/))
  await note('the hall', look.go('rooms/hall%2Fmain', /Last events.*1\u201350 of/))
  await note('a team', look.go('rooms/team%2F7', /Last events.*of \d+ connections?/))
  await note('its data', look.press('Show data', /"by":/))
  await note('no such connection', look.go('connections/nobody.1', /does not answer|There is no such connection/))
  await look.go('connections', /1\u201350 of/)
  await page.setViewportSize({ width: 1_280, height: 832 })
  return shown
}

/** Takes the pictures of docs/operate/dashboard.md, of a page that has its overview open. */
export async function takePictures (look: Look): Promise<void> {
  const { page } = look
  await page.waitForTimeout(CHARTED)
  const { y, height } = (await page.locator('.tiles').boundingBox())!
  await look.picture(new URL('overview.png', PICTURES), Math.ceil(y + height + 16))
  await page.setViewportSize({ width: 390, height: 844 })
  await page.emulateMedia({ colorScheme: 'dark' })
  await page.waitForTimeout(500)
  await look.picture(new URL('phone.png', PICTURES), 844)
  await page.setViewportSize({ width: 1_280, height: 832 })
  await page.emulateMedia({ colorScheme: 'light' })
  await look.go('connections', /1\u201350 of/)
  await look.sort('latency')
  await page.waitForTimeout(1_000)
  await look.picture(new URL('connections.png', PICTURES), 832)
  await look.go('rooms/team%2F7', /Last events.*of \d+ connections?/)
  await look.press('Show data', /"by":/)
  await look.picture(new URL('room.png', PICTURES), 832)
}
