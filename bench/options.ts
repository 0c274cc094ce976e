import { parseArgs } from 'node:util'

export type Mode = 'full' | 'quick' | 'smoke'

export interface Options {
  readonly mode: Mode
  readonly repeat: number
  /** workloads or groups of them; empty: all */
  readonly only: readonly string[]
  /** peers; empty: all */
  readonly peers: readonly string[]
  readonly isWritten: boolean
  /** folder for a CPU profile of each measurement */
  readonly profiles: string | undefined
}

export const USAGE = `node --import tsx bench/run.ts [options]
  --quick         smaller crowds, shorter, one repetition: some ten minutes
  --smoke         a handful of clients, for crashes only: under 30 seconds
  --repeat N      repetitions, default 5
  --only W1,L     these workloads, or groups of them:
                  C E W1 W2 W3 W4 W5 L Z TLS SSE POLL S RESUME CHURN START M IDLE CLIENT curve
  --peers a,b     these peers: realtime socketio socketio-uws ws-bare naive uws bun, fastify-sse sse-loop poll-loop;
                  gateway gateway-hooks only so
  --profile DIR   a CPU profile of each server while it is measured; not for figures
  --write         put the report into bench/RESULTS.md; from a clean commit only`

const REPEAT: Readonly<Record<Mode, number>> = { full: 5, quick: 1, smoke: 1 }

const list = (text: string | undefined): string[] => text?.split(',')
  .map((word) => word.trim())
  .filter((word) => word !== '') ?? []

export function readOptions (args: readonly string[]): Options | undefined {
  const { values } = parseArgs({
    args: [...args],
    options: {
      quick: { type: 'boolean', default: false },
      smoke: { type: 'boolean', default: false },
      write: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
      repeat: { type: 'string' },
      only: { type: 'string' },
      peers: { type: 'string' },
      profile: { type: 'string' }
    }
  })
  if (values.help) return undefined
  const mode = values.smoke ? 'smoke' : values.quick ? 'quick' : 'full'
  const repeat = values.repeat === undefined ? REPEAT[mode] : Number(values.repeat)
  if (!Number.isInteger(repeat) || repeat < 1 || repeat > 50) {
    throw new Error(`--repeat takes a number from 1 to 50, got ${values.repeat}`)
  }
  return {
    mode,
    repeat,
    only: list(values.only),
    peers: list(values.peers),
    isWritten: values.write,
    profiles: values.profile
  }
}
