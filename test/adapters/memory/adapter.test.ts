import t from 'tap'
import { memory } from '../../../lib/adapters/memory/adapter.js'
import { adapterContract } from '../../../lib/adapters/contract/contract.js'

adapterContract(t, () => () => memory(), { name: 'memory', nodes: 1 })
