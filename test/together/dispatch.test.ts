import { runTogether } from '../helpers/together.js'

await runTogether('auth', 'dispatch')
