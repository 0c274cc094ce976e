import { act } from './api.js'
import { h, keyed } from './elements.js'

export interface Question {
  readonly title: string
  readonly text: string
  /** The word of the button that does it. */
  readonly verb: string
  /** What has to be typed first, for what cannot be taken back. */
  readonly typed?: string
  /** Choices of a duration, in milliseconds. */
  readonly durations?: ReadonlyArray<readonly [words: string, ms: number]>
  readonly action: (duration: number | undefined) => object
  /** Called when it is done. */
  readonly done: () => void
  /** Says on the page what has failed, where the question is no longer there to say it. */
  readonly told: (text: string) => void
}

/** Asks before something is done, and does it. The focus is on the way out, and comes back to where it was. */
export function confirm ({ title, text, verb, typed, durations, action, done, told }: Question): void {
  const typing = h('input', { type: 'text', autocomplete: 'off', spellcheck: 'false', id: 'typed' })
  const choice = h('select', { id: 'duration' }, ...(durations ?? []).map(([words, ms]) => h('option', { value: ms }, words)))
  const fault = h('p', { class: 'fault', role: 'alert' })
  const go = h('button', { type: 'submit', class: 'danger', ...(typed === undefined ? {} : { disabled: true }) }, verb)
  const cancel = h('button', { type: 'button', autofocus: true, onclick: () => { dialog.close() } }, 'Cancel')
  const send = async (): Promise<void> => {
    go.disabled = true
    try {
      await act(action(durations === undefined ? undefined : Number(choice.value)))
      dialog.close()
      done()
    } catch (error) {
      const { message } = error as Error
      if (!dialog.open) return told(`\u25a0 ${verb} has failed: ${message}`)
      fault.textContent = message
      go.disabled = false
    }
  }
  const form = h('form', {
    onsubmit: (event) => {
      event.preventDefault()
      void send()
    }
  },
  h('h2', { id: 'question' }, title),
  h('p', {}, text),
  durations === undefined ? undefined : h('p', {}, h('label', { for: 'duration' }, 'for '), choice),
  typed === undefined ? undefined : h('p', {}, h('label', { for: 'typed' }, 'Type ', h('code', {}, typed), ' to go on: '), typing),
  fault,
  h('div', { class: 'buttons' }, cancel, go))
  typing.addEventListener('input', () => { go.disabled = typing.value.trim() !== typed })
  const dialog = h('dialog', { 'aria-labelledby': 'question' }, form)
  const key = document.activeElement?.getAttribute('data-key') ?? null
  dialog.addEventListener('close', () => {
    dialog.remove()
    if (document.activeElement !== document.body) return
    // What had the focus may have been made anew meanwhile, or be gone, as with a node that does not answer.
    const opener = key === null ? undefined : keyed(document, key)[0]
    const back = opener ?? document.querySelector<HTMLElement>('#title')
    back?.focus()
  })
  document.body.append(dialog)
  dialog.showModal()
}
