import { runConformance } from '../../conformance/kit.js'
import { CliError } from './cli-error.js'

/**
 * Waits for a client under test at a URL of this machine, and prints what it does wrong.
 *
 * @returns whether that is nothing
 * @throws CliError where nobody can listen there
 */
export async function conformance (
  { url = '', transport = 'websocket' }: { readonly url?: string | undefined, readonly transport?: string | undefined },
  { line, note }: { readonly line: (text: string) => unknown, readonly note: (text: string) => void }
): Promise<boolean> {
  if (!URL.canParse(url) || new URL(url).protocol !== 'http:') {
    throw new CliError('say where the kit is to listen for the client, such as --url http://127.0.0.1:8090/ws')
  }
  if (transport !== 'websocket' && transport !== 'sse') throw new CliError('--transport is websocket or sse')
  try {
    return await runConformance({
      url,
      transport,
      print: (text) => { void line(text) },
      ready: (at) => { note(`the client under test connects to ${at}`) }
    })
  } catch (error) {
    const { syscall, message } = error as NodeJS.ErrnoException
    if (syscall === 'listen' || syscall === 'getaddrinfo') throw new CliError(`cannot listen at ${url}: ${message}`)
    throw error
  }
}
