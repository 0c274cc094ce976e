import { spawn, type ChildProcess } from 'node:child_process'
import { existsSync } from 'node:fs'
import type { Request, Response } from './shared/rpc.js'

type Argument<F> = F extends () => unknown ? undefined : F extends (argument: infer A) => unknown ? A : never
type Result<F> = F extends (...args: never[]) => infer R ? Awaited<R> : never

/** Milliseconds that a child may take to answer. */
const PATIENCE = 60_000

const children = new Set<ChildProcess>()
process.on('exit', () => { for (const child of children) child.kill('SIGKILL') })
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => { process.exit(1) })

interface Call {
  readonly resolve: (value: unknown) => void
  readonly reject: (error: Error) => void
  readonly timer: NodeJS.Timeout
}

export interface ChildOptions {
  /** the core to stay on, where `taskset` is installed */
  readonly core: number | undefined
  /** what runs the script, if not Node */
  readonly program?: string
  readonly nodeArguments?: readonly string[]
}

/** A Node process of the benchmark: with as many descriptors as are allowed, on a core of its own, asked over IPC. */
export class Child<A extends object> {
  readonly #process: ChildProcess
  readonly #calls = new Map<number, Call>()
  #last = 0
  #said = ''
  /** how it ended, if it did by itself */
  ended: string | undefined

  constructor (script: string, { core, program = process.execPath, nodeArguments = [] }: ChildOptions) {
    const pin = core !== undefined && hasTaskset ? ['taskset', '-c', String(core)] : []
    const raise = process.platform === 'win32'
      ? []
      : ['sh', '-c', 'ulimit -n "$(ulimit -Hn)" 2>/dev/null; exec "$@"', 'sh']
    const [command, ...rest] = [...raise, ...pin, program, ...nodeArguments, script]
    this.#process = spawn(command!, rest, {
      stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
      env: { ...process.env, NODE_ENV: 'production', NODE_OPTIONS: '' }
    })
    children.add(this.#process)
    for (const stream of [this.#process.stdout, this.#process.stderr]) {
      stream!.setEncoding('utf8').on('data', (text: string) => { this.#said = (this.#said + text).slice(-2_000) })
    }
    this.#process.on('message', (response: Response) => { this.#settle(response) })
    this.#process.on('error', (error) => { this.#fail(error.message) })
    this.#process.on('exit', (code, signal) => {
      children.delete(this.#process)
      this.ended = `ended with ${signal ?? code}: ${lastWords(this.#said)}`
      this.#fail(this.ended)
    })
  }

  /** Asks and waits for the answer. */
  call<K extends keyof A & string> (
    method: K,
    ...[argument]: Argument<A[K]> extends undefined ? [] : [Argument<A[K]>]
  ): Promise<Result<A[K]>> {
    return new Promise((resolve, reject) => {
      const id = ++this.#last
      const timer = setTimeout(() => {
        this.#calls.delete(id)
        reject(new Error(`no answer to "${method}" within ${PATIENCE / 1_000} s`))
      }, PATIENCE)
      this.#calls.set(id, { resolve: resolve as (value: unknown) => void, reject, timer })
      this.#send({ id, method, argument })
    })
  }

  /** Asks for no answer. */
  post<K extends keyof A & string> (method: K, argument: Argument<A[K]>): void {
    this.#send({ id: undefined, method, argument })
  }

  async end (): Promise<void> {
    if (this.#process.exitCode !== null || this.#process.signalCode !== null) return
    const ended = new Promise((resolve) => { this.#process.once('exit', resolve) })
    this.#process.kill('SIGKILL')
    await ended
  }

  #send (request: Request): void {
    if (this.#process.connected) this.#process.send(request)
    else if (request.id !== undefined) this.#settle({ id: request.id, error: this.ended ?? 'is not connected' })
  }

  #settle ({ id, result, error }: Response): void {
    const call = this.#calls.get(id)
    if (call === undefined) return
    this.#calls.delete(id)
    clearTimeout(call.timer)
    if (error === undefined) call.resolve(result)
    else call.reject(new Error(error))
  }

  #fail (reason: string): void {
    for (const id of [...this.#calls.keys()]) this.#settle({ id, error: reason })
  }
}

/** The line of a crash that names its error. */
function lastWords (said: string): string {
  const lines = said.split('\n').filter((line) => line.trim() !== '')
  return lines.find((line) => /^\w*Error\b/.test(line)) ?? lines[0] ?? 'no word'
}

export const hasTaskset = (process.env.PATH ?? '').split(':').some((folder) => existsSync(`${folder}/taskset`))
