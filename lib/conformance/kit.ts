import { Conversation, Stray } from './conversation.js'
import type { KitTransport } from './link.js'
import { scriptOf } from './script.js'
import { ScriptedServer } from './server.js'

/** Milliseconds until something that the client has to do must have happened: longer than its longest back-off. */
const PATIENCE = 25_000
const WATCHED = 10_000

/** How the kit is run. */
export interface ConformanceOptions {
  /** Where the client under test is to connect: an http(s) URL of this machine; port 0 takes any that is free. */
  readonly url: string
  /** What the client under test opens. @default 'websocket' */
  readonly transport?: KitTransport | undefined
  /** Takes the lines that are printed, in TAP's form. */
  readonly print: (line: string) => void
  /** Called when the server listens, with the URL for the client: whoever starts the client does so now. */
  readonly ready?: ((url: string) => void) | undefined
  /** Milliseconds until something that the client has to do must have happened. @default 25_000 */
  readonly patience?: number | undefined
  /** Milliseconds for which a client that is not to come back is watched. @default 10_000 */
  readonly watched?: number | undefined
}

/**
 * Drives a client through a scripted server over WebSocket or Server-Sent Events, and prints what it does wrong. The
 * client under test is a short program of its author: it joins the room `conformance/1`, sends the message `heard` with
 * the data of each event `step`, and the message `lost` each time that it is told that events are lost.
 *
 * @returns whether it does everything right
 */
export async function runConformance (
  { url, transport = 'websocket', print, ready, patience = PATIENCE, watched = WATCHED }: ConformanceOptions
): Promise<boolean> {
  const { hostname, port, pathname } = new URL(url)
  const prefix = pathname.replace(/\/$/, '')
  const server = new ScriptedServer(prefix, transport)
  const taken = await server.listen(Number(port === '' ? 80 : port), hostname)
  const talk = new Conversation(server, patience)
  const script = scriptOf(transport)
  let faults = 0
  try {
    print(`TAP version 14\n1..${script.length}`)
    ready?.(`http://${hostname}:${taken}${prefix}`)
    for (const [index, { title, run }] of script.entries()) {
      const fault = await run(talk, server, watched).catch((error: unknown) => {
        if (error instanceof Stray) return error
        throw error
      })
      print(`${fault === undefined ? 'ok' : 'not ok'} ${index + 1} - ${title}`)
      if (fault === undefined) continue
      faults++
      print(`  # ${fault instanceof Stray ? fault.message : fault}`.replaceAll('\n', '\n  # '))
      if (!(fault instanceof Stray)) continue
      print(`Bail out! what follows was not tried: ${script.length - index - 1} of ${script.length} steps`)
      break
    }
  } finally {
    await server.close()
  }
  return faults === 0
}
