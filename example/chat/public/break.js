import { $ } from './page.js'
import { plugIn, unplug } from './plug.js'

/** milliseconds that "drop" keeps the page offline */
const OFFLINE = 5_000

/** the last break: events that were published in between carry a mark */
let broken

/** Whether an event was published while the page was away; each is counted. */
export function wasMissed (timestamp) {
  if (broken === undefined || timestamp < broken.from || timestamp > broken.to) return false
  broken.count++
  showResume()
  return true
}

/** The page is connected. */
export function isBack () {
  if (broken?.to !== Infinity) return
  broken.to = Date.now()
  showResume()
}

function showResume () {
  if (broken.to === Infinity) return
  const seconds = ((broken.to - broken.from) / 1_000).toFixed(1)
  const messages = broken.count === 1 ? '1 message was' : `${broken.count} messages were`
  $('resume').textContent = `Back after ${seconds} s; ${messages} caught up, nothing was lost.`
}

$('drop').addEventListener('click', () => {
  broken = { from: Date.now(), to: Infinity, count: 0 }
  $('drop').disabled = true
  $('resume').textContent = 'The link is cut. Let somebody say something now …'
  unplug()
  setTimeout(() => {
    plugIn()
    $('drop').disabled = false
    $('resume').textContent = 'The network is back; the client returns by itself.'
  }, OFFLINE)
})
