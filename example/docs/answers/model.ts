import { setTimeout as sleep } from 'node:timers/promises'

const TEXT = 'This model is a fake one: it needs no key, and always says the same. Load the page again while it answers, ' +
  'stop it in a second tab, or kill the server and start it again: what was saved is there. '

/** Stands in for a language model, some twenty words a second. @param signal ends it in the middle of a word */
export async function * answer (question: string, signal: AbortSignal): AsyncGenerator<string> {
  for (const [word] of `You asked: ${question}\n\n${TEXT.repeat(6)}`.matchAll(/\s*\S+/g)) {
    await sleep(50, undefined, { signal })
    yield word
  }
}
