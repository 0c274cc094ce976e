import { MESSAGE, type MessageStep } from '../diagnostics/channels.js'
import { traced } from '../diagnostics/traced.js'
import type { MessageCall, Messages } from './messages.js'
import type { Outcome } from './outcome.js'

/** Runs a message as a step that subscribers of the diagnostics channel follow. */
export async function tracedMessage (
  messages: Messages,
  call: MessageCall,
  isRequest: boolean,
  traceparent: string | undefined
): Promise<Outcome> {
  const { name, declaration, type, messageId, userId, sender, bytes } = call
  const step: MessageStep = {
    room: name,
    definition: declaration.pattern.source,
    message: type,
    messageId,
    userId,
    connectionId: sender,
    bytes,
    isRequest,
    traceparent
  }
  let outcome: Outcome | undefined
  // The outcome has the reply, which is no business of subscribers.
  await traced(MESSAGE, step, async () => {
    outcome = await messages.run({ ...call, trace: step })
    if ('error' in outcome) step.code = outcome.error.code
  })
  return outcome!
}
