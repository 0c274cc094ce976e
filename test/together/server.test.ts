import { runTogether } from '../helpers/together.js'

await runTogether('server', 'server-api')
