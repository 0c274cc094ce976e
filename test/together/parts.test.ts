import { runTogether } from '../helpers/together.js'

await runTogether('bridge', 'connection', 'errors', 'retention', 'structures')
