import { memory } from '../../../lib/adapters/memory/adapter.js'
import { contract } from '../contract.js'

contract({ name: 'memory', nodes: 1, make: async () => () => memory() })
