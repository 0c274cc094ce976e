import { MESSAGE, type MessageStep } from '../diagnostics/channels.js'
import { traced } from '../diagnostics/traced.js'
import { TRACING } from '../diagnostics/tracer.js'
import type { MessageCall } from './message-call.js'
import type { Messages } from './messages.js'
import type { Outcome } from './outcome.js'
import type { Awaitable } from '../structures/awaitable.js'

/** Runs a message, with a span where something makes one and it is recorded. */
export function runMessage (messages: Messages, call: MessageCall): Awaitable<Outcome> {
  const { tracer } = TRACING
  return tracer === undefined
    ? messages.run(call)
    : tracer.message(call, (trace) => messages.run(trace === undefined ? call : call.traced(trace)), codeOf)
}

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
    outcome = await runMessage(messages, call.traced(step))
    step.code = codeOf(outcome)
  })
  return outcome!
}

function codeOf (outcome: Outcome): string | undefined { return 'error' in outcome ? outcome.error.code : undefined }
