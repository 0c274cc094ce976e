import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import type { Test } from 'tap'

const ROOT = fileURLToPath(new URL('../..', import.meta.url))

export interface Example {
  readonly url: string
  /** Ends it by SIGTERM, and resolves with its status. */
  stop (): Promise<number | null>
  /** Ends it as a power cut would. */
  kill (): Promise<void>
}

/**
 * An example as its command runs it, on a free port, but for the loader of types: this one takes half the CPU of tsx.
 *
 * @param name its folder, or a file in it
 * @param variables of its environment
 */
export async function startExample (
  t: Test, name: string, variables: Readonly<Record<string, string>> = {}
): Promise<Example> {
  const file = name.endsWith('.ts') ? name : `${name}/server.ts`
  return await startProgram(t, ['--import', './scripts/typescript/register.mjs', `example/${file}`], variables)
}

/** A program that prints the URL at which it listens, on a free port. @param args of node */
export async function startProgram (
  t: Test, args: readonly string[], variables: Readonly<Record<string, string>> = {}
): Promise<Example> {
  const child: ChildProcess = spawn(process.execPath, args, {
    cwd: ROOT,
    env: { PATH: process.env.PATH, HOME: process.env.HOME, PORT: '0', ...variables },
    stdio: ['ignore', 'pipe', 'pipe']
  })
  const exit = once(child, 'exit').then(([code]) => code as number | null)
  t.teardown(async () => {
    child.kill('SIGKILL')
    await exit
  })
  let log = ''
  child.stderr!.on('data', (chunk) => { log += String(chunk) })
  const url = await Promise.race([
    (async () => {
      for await (const line of createInterface(child.stdout!)) {
        const found = /http:\/\/\S+/.exec(line)?.[0]
        if (found !== undefined) return new URL(found).origin
        log += `${line}\n`
      }
      throw new Error(`the example printed no URL (is dist built? npm run build):\n${log}`)
    })(),
    exit.then((code) => { throw new Error(`the example ended with ${code}:\n${log}`) })
  ])
  child.stdout!.resume()
  return {
    url,
    stop: async () => {
      child.kill('SIGTERM')
      return await exit
    },
    kill: async () => {
      child.kill('SIGKILL')
      await exit
    }
  }
}
