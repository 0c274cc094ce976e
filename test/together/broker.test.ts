import { runTogether } from '../helpers/together.js'

await runTogether('adapters/broker', 'adapters/history', 'adapters/memory')
