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
      const result = step.within === undefined ? task() : step.within(task)
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
