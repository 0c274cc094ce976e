import type { TracingChannel } from 'node:diagnostics_channel'
import type { TracedStep } from './channels.js'

/**
 * Runs a task as a step of its channel, in the order of events that Node documents for its own `traceSync` and
 * `tracePromise`. Those are not used, because a task here may be either, and because a subscriber may give the step a
 * context.
 *
 * @returns what the task returns; its promise is followed, not replaced by one of another time
 */
export function traced<S extends TracedStep, T> (on: TracingChannel<S, S>, step: S, task: () => T): T {
  return on.start.runStores(step, () => {
    try {
      const result = step.within === undefined ? task() : inContext(step.within, task)
      if (result instanceof Promise) {
        result.then((value) => { settled(on, step, value) }, (error: unknown) => {
          failed(on, step, error)
          ended(on, step)
        })
      } else step.result = result
      return result
    } catch (error) {
      failed(on, step, error)
      throw error
    } finally {
      on.end.publish(step)
    }
  })
}

/** Whether somebody was told of a context that fails: what fails for one step fails for each. */
let isWarned = false

/** Runs a task in the context of a subscriber: once, and with its own outcome, whatever that subscriber does. */
function inContext<T> (within: NonNullable<TracedStep['within']>, task: () => T): T {
  let outcome: (() => T) | undefined
  let hasThrown = false
  const once = (): T => {
    if (outcome !== undefined) return outcome()
    try {
      const result = task()
      outcome = () => result
    } catch (error) {
      hasThrown = true
      outcome = () => { throw error }
    }
    return outcome()
  }
  const failed = (error: unknown): void => {
    // What the task itself throws passes through it.
    if (hasThrown || isWarned) return
    isWarned = true
    process.emitWarning(`\`within\` of a subscriber throws: its step goes on: ${String(error)}`, 'RealtimeWarning')
  }
  try {
    const passed: unknown = within(once)
    // The task's own promise is followed by others; a promise that was made of it is followed by nobody.
    if (passed instanceof Promise) passed.catch(() => {})
  } catch (error) {
    failed(error)
  }
  return once()
}

function settled<S extends TracedStep> (on: TracingChannel<S, S>, step: S, value: unknown): void {
  step.result = value
  ended(on, step)
}

function failed<S extends TracedStep> (on: TracingChannel<S, S>, step: S, error: unknown): void {
  step.error = error
  on.error.publish(step)
}

function ended<S extends TracedStep> (on: TracingChannel<S, S>, step: S): void {
  on.asyncStart.publish(step)
  on.asyncEnd.publish(step)
}
