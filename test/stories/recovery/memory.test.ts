import type { Ground } from './client.js'
import { readers } from './readers.js'
import { recovery } from './scenarios.js'

const memory: Ground = {
  name: 'memory',
  make: async () => () => undefined,
  nodes: 1,
  run: { events: 10_000, cuts: 200 },
  isAtOnce: true,
  isDense: true,
  isCounted: true,
  patience: 400
}

recovery(memory)
readers(memory)
