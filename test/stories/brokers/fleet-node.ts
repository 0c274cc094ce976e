import { fork, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import type { Teardown } from '../../helpers/servers.js'
import type { Answer, Calls, NodePlan, Question } from './node-process.js'

type Results = { [K in keyof Calls]: Awaited<ReturnType<Calls[K]>> }

/** A node as its parent sees it. */
export class FleetNode {
  readonly name: string
  readonly url: string
  readonly #child: ChildProcess
  readonly #waiting = new Map<number, { resolve: (result: never) => void, reject: (error: Error) => void }>()
  #count = 0
  /** its process runs, standing still included */
  isAlive = true
  /** why it ended although nobody had killed it */
  crash: string | undefined

  private constructor (name: string, port: number, child: ChildProcess, errors: () => string) {
    this.name = name
    this.url = `http://127.0.0.1:${port}`
    this.#child = child
    child.on('message', (answer: Answer) => {
      if (answer.is !== 'answer') return
      const waiting = this.#waiting.get(answer.id)
      this.#waiting.delete(answer.id)
      if (answer.error === undefined) waiting?.resolve(answer.result as never)
      else waiting?.reject(new Error(answer.error))
    })
    child.on('exit', (code, signal) => {
      if (this.isAlive) this.crash = `${name} ended with ${code ?? signal}: ${errors()}`
      this.isAlive = false
      for (const { reject } of this.#waiting.values()) reject(new Error(`${name} has ended`))
      this.#waiting.clear()
    })
  }

  /**
   * @param program what the process runs
   * @param environment more of it, such as a clock of its own
   */
  static async start (
    t: Teardown,
    program: string,
    plan: NodePlan,
    environment: Record<string, string> = {}
  ): Promise<FleetNode> {
    const child = fork(program, [JSON.stringify(plan)], {
      execArgv: [],
      env: { ...process.env, ...environment },
      stdio: ['ignore', 'ignore', 'pipe', 'ipc']
    })
    let errors = ''
    child.stderr!.on('data', (chunk: Buffer) => { errors = (errors + String(chunk)).slice(-4_000) })
    const started: FleetNode[] = []
    t.teardown(async () => {
      if (started.length === 0) child.kill('SIGKILL')
      for (const node of started) await node.kill()
    })
    const [ready] = await Promise.race([
      once(child, 'message'),
      once(child, 'exit').then(() => { throw new Error(`${plan.name} did not start: ${errors}`) })
    ]) as [Extract<Answer, { is: 'ready' }>]
    const node = new FleetNode(plan.name, ready.port, child, () => errors)
    started.push(node)
    return node
  }

  async call<K extends keyof Calls> (name: K, ...args: Parameters<Calls[K]>): Promise<Results[K]> {
    if (!this.isAlive) throw new Error(`${this.name} has ended`)
    const id = ++this.#count
    return await new Promise((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject })
      this.#child.send({ id, name, args } satisfies Question)
    })
  }

  /** Ends without a word. */
  async kill (): Promise<void> {
    this.isAlive = false
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return
    const exit = once(this.#child, 'exit')
    this.#child.kill('SIGKILL')
    await exit
  }

  pause (): void { this.#child.kill('SIGSTOP') }
  resume (): void { this.#child.kill('SIGCONT') }
}
