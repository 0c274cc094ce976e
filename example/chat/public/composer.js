import { notice, showPending } from './messages.js'
import { $ } from './page.js'
import { nameOf } from './people.js'

/** milliseconds that pass between two typing marks */
const TYPING_EVERY = 2_000

/** Starts the field below the messages. @param current gives the client and its room as they are now */
export function startComposer (current) {
  let typedAt = 0

  $('text').addEventListener('input', () => {
    const { client, room } = current()
    if (Date.now() - typedAt < TYPING_EVERY || client.state !== 'open' || $('to').value !== '') return
    typedAt = Date.now()
    room.send('type', {}, { timeout: TYPING_EVERY }).catch(() => undefined)
  })

  $('say-form').addEventListener('submit', async (event) => {
    event.preventDefault()
    const said = $('text').value
    const to = $('to').value
    $('text').value = ''
    typedAt = 0
    $('send-error').textContent = ''
    const pending = showPending(said)
    const { room } = current()
    try {
      if (to === '') await room.send('say', { text: said })
      else {
        const { online } = await room.send('whisper', { to, text: said })
        if (!online) notice(`${nameOf(to)} is away; the message is kept for an hour`)
      }
    } catch (error) {
      $('send-error').textContent = `Not sent (${error.code ?? error.name}): ${error.message}`
      if ($('text').value === '') $('text').value = said
    } finally {
      pending.remove()
    }
  })
}
