import { MESSAGE, type MessageStep } from '../diagnostics/channels.js'
import { traced } from '../diagnostics/traced.js'
import type { MessageCall } from './message-call.js'
import type { Messages } from './messages.js'
import type { Outcome } from './outcome.js'

/** Runs a message as a step that subscribers of the diagnostics channel follow. */
export async function tracedMessage (messages: Messages, call: MessageCall): Promise<Outcome> {
  const step: MessageStep = {
    room: call.name,
    definition: call.declaration.pattern.source,
    message: call.type,
    messageId: call.messageId,
    userId: call.userId,
    connectionId: call.sender,
    bytes: call.bytes,
    isRequest: call.isRequest,
    traceparent: call.traceparent
  }
  let outcome: Outcome | undefined
  // The outcome has the reply, which is no business of subscribers.
  await traced(MESSAGE, step, async () => {
    outcome = await messages.run(call.traced(step))
    if ('error' in outcome) step.code = outcome.error.code
  })
  return outcome!
}
