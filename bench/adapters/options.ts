import { parseArgs } from 'node:util'

export interface Options {
  /** how many nodes, one measurement each */
  readonly nodes: readonly number[]
  /** of each of the two parts of a measurement */
  readonly seconds: number
  readonly repeat: number
  /** events per second of all nodes together, in the part that measures latency */
  readonly rate: number
  readonly isWritten: boolean
}

export const USAGE = `node --import tsx bench/adapters.ts [options]
  --nodes N       1 to N nodes, default 4
  --seconds N     of each part of a measurement, default 5
  --repeat N      repetitions, default 3
  --rate N        events per second where latency is measured, default 1000
  --smoke         two nodes, once, 0.3 s: some ten seconds, only to see that nothing breaks
  --write         put the report into bench/ADAPTERS.md`

function number (name: string, text: string, min: number, max: number): number {
  const value = Number(text)
  if (!(value >= min && value <= max)) throw new Error(`--${name} takes a number from ${min} to ${max}, got ${text}`)
  return value
}

export function readOptions (args: readonly string[]): Options | undefined {
  const { values } = parseArgs({
    args: [...args],
    options: {
      nodes: { type: 'string', default: '4' },
      seconds: { type: 'string', default: '5' },
      repeat: { type: 'string', default: '3' },
      rate: { type: 'string', default: '1000' },
      smoke: { type: 'boolean', default: false },
      write: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false }
    }
  })
  if (values.help) return undefined
  const rate = number('rate', values.rate, 1, 1_000_000)
  if (values.smoke) return { nodes: [2], seconds: 0.3, repeat: 1, rate, isWritten: values.write }
  return {
    nodes: Array.from({ length: Math.trunc(number('nodes', values.nodes, 1, 16)) }, (_, i) => i + 1),
    seconds: number('seconds', values.seconds, 0.1, 600),
    repeat: Math.trunc(number('repeat', values.repeat, 1, 50)),
    rate,
    isWritten: values.write
  }
}
