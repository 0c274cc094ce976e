import type { Part } from '../part.js'
import { abortAfter } from '../timers.js'

/** Stands in for `AbortSignal.timeout`, which platforms lack that are older than 2022. */
export const oldEngines: Part = ({ line }) => {
  const { http } = line
  line.http = (path, init) => http(path, { ...init, signal: init?.signal ?? abortAfter(line.timeout) })
}
