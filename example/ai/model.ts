import { setTimeout as sleep } from 'node:timers/promises'

/** Tokens per second, as a hosted model gives them. */
const PACE = 50

const TEXT = [
  'A reliable stream of tokens has three parts.',
  'The first is a name: each answer has a key of its own, so that a page which comes back can say what it has of it.',
  'The second is a length: each part says how long the text was before it, so that a part which comes twice does no harm, and one that is missing is seen.',
  'The third is one place that keeps the whole, so that a page which was closed, a second tab and a phone get it in one piece, and then go on where the writer is.',
  'Nothing of this needs the model: it writes once, as fast as it can, and nobody who reads slowly keeps it waiting.',
  'And when somebody presses stop, in whichever tab, the model is told at once, because every token that nobody wants costs money.'
]

/**
 * Stands in for a language model: it needs no key and always says the same, token by token. Asked to fail, it does so.
 *
 * @param signal ends it in the middle of a token
 */
export async function * answer (question: string, signal: AbortSignal): AsyncGenerator<string> {
  const text = [`You asked: “${question}”`, ...TEXT, ...TEXT.slice(1, 5)].join('\n\n')
  for (const [token] of text.matchAll(/\s*\S+/g)) {
    await sleep(1_000 / PACE, undefined, { signal })
    yield token
    if (question === 'fail' && token.endsWith('parts.')) throw new Error('the model is out of order')
  }
}
